#!/usr/bin/env bash
# Train or evaluate the default model with the recipes in recipes/default/.
#
#   scripts/default_model.sh train [OPTION...]      train it and its control; hours on a CPU. OPTIONs, such as
#                                                   --set dtype=float32, go to every run. The same command
#                                                   again continues interrupted runs.
#   scripts/default_model.sh evaluate               compare the shipped model with its base and its control
#
# BIN is the directory of the executables, .venv/bin by default. PROCESSES is the number of training processes: 2 by
# default, 1 if there is a GPU. Several processes of one thread each are faster on a CPU than one with all threads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=${BIN:-.venv/bin}

has_gpu() { command -v nvidia-smi > /dev/null; }

# train RECIPE [OPTION...]: run one stage. With num_thought_tokens=0 it is a stage of the control.
train() {
    local recipe=$1
    shift
    echo "== $recipe $*"
    OMP_NUM_THREADS=1 "$BIN/torchrun" --standalone --nproc_per_node "$PROCESSES" -m qstar_train \
        --config "recipes/default/$recipe.yaml" "${OPTIONS[@]}" "$@"
}

train_all() {
    local control=(--set num_thought_tokens=0)
    "$BIN/qstar" prepare math_train hellaswag state_of_the_union socialiqa piqa --out data
    train text
    train guess
    train reinforce
    train settle
    # The control is trained before the last stage, because it is the teacher there.
    train guess "${control[@]}" --set output=runs/guess-without-thoughts
    train reinforce "${control[@]}" --set output=runs/reinforced-without-thoughts \
        --set model=runs/guess-without-thoughts/adapter
    train settle "${control[@]}" --set output=runs/settled-without-thoughts \
        --set model=runs/reinforced-without-thoughts/adapter
    train match "${control[@]}" --set output=runs/default-without-thoughts \
        --set model=runs/settled-without-thoughts/adapter
    train match
}

evaluate() {
    "$BIN/qstar" prepare openwebtext math500 gsm8k commonsense_qa --out data
    "$BIN/qstar" eval default without-thoughts=benchmarks/controls/without-thoughts base \
        --config recipes/default/evaluate.yaml --out runs/evaluate-default
}

if has_gpu; then
    PROCESSES=${PROCESSES:-1}
else
    PROCESSES=${PROCESSES:-2}
    export ACCELERATE_USE_CPU=true
fi
command=${1:-}
OPTIONS=(--resume "${@:2}")
case $command in
    train) train_all ;;
    evaluate) evaluate ;;
    *)
        echo "usage: scripts/default_model.sh train [OPTION...] | evaluate" >&2
        exit 2
        ;;
esac
