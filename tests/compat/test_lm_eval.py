"""lm-eval, with both of its models for such servers, on questions from local files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer import load_model
from tests.compat.conftest import PYTHON, QUESTIONS, Served, run

NUM_QUESTIONS = 6
TASKS = {
    "local_gsm8k": """
task: local_gsm8k
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}/gsm8k.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["Question:", "</s>"], do_sample: false, max_gen_toks: 24}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
""",
    "local_commonsense_qa": """
task: local_commonsense_qa
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}/commonsense_qa.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{query}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
""",
}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    directory = tmp_path / "tasks"
    directory.mkdir()
    for name, text in TASKS.items():
        (directory / f"{name}.yaml").write_text(text.format(questions=QUESTIONS))
    return directory


def test_loglikelihoods_are_those_of_the_oracle(
    served: Served, tasks: Path, tmp_path: Path
) -> None:
    samples = evaluate(
        "local-completions", "local_commonsense_qa", served, tasks=tasks, output=tmp_path / "out"
    )
    assert len(samples) == NUM_QUESTIONS
    model = load_model(dtype="float32", device="cpu")
    for sample in samples:
        for request, response in zip(
            sample["arguments"].values(), sample["filtered_resps"], strict=True
        ):
            context, continuation = request["arg_0"], request["arg_1"]
            expected = oracle_loglikelihood(model, context, continuation)
            assert float(response[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["local-completions", "local-chat-completions"])
def test_generation(kind: str, served: Served, tasks: Path, tmp_path: Path) -> None:
    samples = evaluate(kind, "local_gsm8k", served, tasks=tasks, output=tmp_path / "out")
    texts = [sample["resps"][0][0] for sample in samples]
    assert len(texts) == NUM_QUESTIONS
    assert all(texts)
    assert len(set(texts)) > 1


def evaluate(
    kind: str, task: str, served: Served, *, tasks: Path, output: Path
) -> list[dict[str, Any]]:
    """The samples that lm-eval logged."""
    is_chat = kind == "local-chat-completions"
    path = "chat/completions" if is_chat else "completions"
    arguments = f"model={served.model},base_url={served.url}/{path},num_concurrent=4"
    command = [PYTHON, "-m", "lm_eval", "run", "--model", kind, "--model_args", arguments]
    command += ["--tasks", task, "--include_path", tasks, "--limit", str(NUM_QUESTIONS)]
    command += ["--output_path", output, "--log_samples"]
    run(*command, *(["--apply_chat_template"] if is_chat else []), HF_DATASETS_OFFLINE="1")
    (log,) = output.rglob("samples_*.jsonl")
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def oracle_loglikelihood(model: Any, context: str, continuation: str) -> float:
    """Sum of the mixed log-probabilities of the continuation's tokens, in nats."""
    tokenizer = model.tokenizer
    whole = tokenizer(context + continuation)["input_ids"]
    start = len(tokenizer(context)["input_ids"])
    trace = model.think(torch.tensor([whole]), temperature=0.0)
    logprobs = trace.logits[0].log_softmax(-1)
    return sum(float(logprobs[place - 1, whole[place]]) for place in range(start, len(whole)))
