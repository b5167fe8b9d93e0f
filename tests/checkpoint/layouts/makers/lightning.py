"""Small checkpoints as the Lightning code of expz/quiet-star writes them, from its description."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, Qwen2Config

HIDDEN = 16
START, END = 500, 501
"""The golden tokenizer without delimiters has 500 ids."""


def make_base(
    directory: Path, tokenizer: PreTrainedTokenizerBase, **settings: Any
) -> PreTrainedModel:
    """A tiny Qwen2: its config and tokenizer are saved in `directory`, and its weights are not."""
    values = {
        "hidden_size": HIDDEN,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 512,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    torch.manual_seed(3)
    config = Qwen2Config(**(values | settings))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.25)  # so that thoughts differ from position to position
    model.config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    model.eval()
    return model


def make_lightning(model: PreTrainedModel, **config: Any) -> dict[str, Any]:
    """The content of a `.ckpt`: weights twice, the head, and the state of a trainer."""
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if name.startswith("model.embed_tokens."):
            state[name.replace("model.embed_tokens.", "tok_emb.")] = tensor
        elif name.startswith("model.layers."):
            state[name.removeprefix("model.")] = tensor
        elif name.startswith("model.norm."):
            state[name.replace("model.norm.", "ln.")] = tensor
        else:
            state[name] = tensor
    torch.manual_seed(4)
    state["mixing_mlp.0.weight"] = torch.randn(2 * HIDDEN, 2 * HIDDEN) / 6
    state["mixing_mlp.0.bias"] = torch.randn(2 * HIDDEN) / 2
    state["mixing_mlp.2.weight"] = torch.randn(1, 2 * HIDDEN) / 2
    state["mixing_mlp.2.bias"] = torch.tensor([0.7])
    return {
        "epoch": 1,
        "global_step": 4,
        "pytorch-lightning_version": "2.3.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": None}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "config": {"thought_length": 3, "lookahead_tokens": 2, "temperature": 3.0} | config
        },
    }


def mixed_logits(
    model: PreTrainedModel, state: dict[str, Tensor], prefix: list[int], *, length: int
) -> tuple[Tensor, list[int]]:
    """Their decoding rule after one prefix, with greedy thoughts: `[vocab]` and the thought."""

    def last(ids: list[int]) -> tuple[Tensor, Tensor]:
        hidden = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        return hidden, model.lm_head(hidden)

    ids = [*prefix, START]
    for _ in range(length):
        scores = last(ids)[1]
        scores[[START, END]] = -torch.inf
        ids.append(int(scores.argmax()))
    (base, base_logits), (thought, thought_logits) = last(prefix), last([*ids, END])
    inner = state["mixing_mlp.0.weight"] @ torch.cat([base, thought]) + state["mixing_mlp.0.bias"]
    outer = state["mixing_mlp.2.weight"] @ inner.relu() + state["mixing_mlp.2.bias"]
    weight = outer.sigmoid()
    return weight * base_logits + (1 - weight) * thought_logits, ids[len(prefix) + 1 :]
