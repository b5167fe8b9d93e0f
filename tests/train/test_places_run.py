"""Whole runs on documents, with thoughts at places: nothing depends on how the work is cut."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import ConfigError
from qstar_train.trainer.train import train

from ..parity.toy import EOS, byte_tokenizer
from ..tolerances import TOY_LOGPROBS, assert_adam_close
from .test_distributed import launch
from .test_trainer import metrics_of
from .trainer_toys import config_of, write_config

PLACES = {"behind": ["?", "="], "elsewhere": 1}
OBJECTIVE = {
    "num_talk_tokens": 2,
    "policy_weight": 4.0,
    "thought_loss_weight": 0.5,
    "places": PLACES,
    "gate": {"cost": 0.05},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config whose text is sums of several lengths, one a document."""
    directory = tmp_path_factory.mktemp("places")
    path = write_config(directory)
    draw = random.Random(0)
    lines = []
    for _ in range(50):
        terms = [draw.randrange(10) for _ in range(draw.randint(1, 6))]
        lines.append({"text": f"{'+'.join(map(str, terms))}?{sum(terms) % 10}"})
    text = directory / "sums.jsonl"
    text.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assignments = {"data": {"sources": [{"path": str(text)}], "window": 20, "packing": "document"}}
    settings = config_of(path, objective=OBJECTIVE, num_thought_tokens=2, **assignments)
    path.write_text(settings.model_dump_json(), encoding="utf-8")
    return path


def run(
    config: Path,
    directory: Path,
    changes: dict[str, Any] | None = None,
    *,
    resume: bool = False,
) -> Path:
    train(config_of(config, output=str(directory), **(changes or {})), resume=resume)
    return directory


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "states" / "step-000004" / "weights.safetensors")


@pytest.mark.parametrize(
    "changes",
    [{}, {"objective.thoughts": "random"}, {"objective.places": None}, {"num_thought_tokens": 0}],
    ids=["places", "random thoughts", "documents everywhere", "without thoughts"],
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    config: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = run(config, tmp_path / "whole", changes)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "states" / "step-000004")
    shutil.rmtree(cut / "model")
    run(config, cut, changes, resume=True)
    for name in ("weights", "optimizer"):
        file = f"states/step-000004/{name}.safetensors"
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
    assert metrics_of(whole) == metrics_of(cut)


@pytest.mark.parametrize("changes", [{}, {"num_thought_tokens": 0}], ids=["places", "without"])
def test_how_the_work_is_cut_changes_nothing(
    config: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Documents differ in length, and micro-batches in their numbers of tokens and places."""
    whole = run(config, tmp_path / "whole", changes)
    parts = run(config, tmp_path / "parts", {"micro_batch_size": 1, **changes})
    others = [parts]
    if not changes:  # two processes share their windows in the same way
        others.append(tmp_path / "two")
        command = ("-m", "qstar_train", "--config", str(config))
        launched = launch(*command, "--set", f"output={others[1]}")
        assert launched.returncode == 0, launched.stderr[-3000:]
    want = weights_of(whole)
    for other in others:
        for ours, theirs in zip(metrics_of(whole), metrics_of(other), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        got = weights_of(other)
        assert got.keys() == want.keys()
        for name, tensor in want.items():
            assert_adam_close(got[name], tensor, learning_rate=1e-3, num_steps=4, name=name)


def test_the_metrics_are_those_behind_the_markers(config: Path, tmp_path: Path) -> None:
    """The first step's, by the definition, for a model without and with thoughts."""
    once = {"batch_size": 50, "steps": 1}
    silent = run(config, tmp_path / "silent", {"num_thought_tokens": 0, **once})
    first = metrics_of(silent)[0]
    model = load_model(config.parent / "toy", dtype="float32", device="cpu")
    tokenizer = byte_tokenizer()
    marker = tokenizer.convert_tokens_to_ids("?")
    behind, right, text, num_tokens = [], [], [], 0
    for line in (config.parent / "sums.jsonl").read_text().splitlines():
        ids = torch.tensor([[*tokenizer(json.loads(line)["text"]).input_ids, EOS]])
        num_tokens += ids.shape[1]
        logits = model.think(ids, num_thought_tokens=0).base_logits[0, :-1]
        losses = -logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        here = ids[0].tolist().index(marker)
        behind.append(losses[here])
        right.append(float(logits[here].argmax() == ids[0, here + 1]))
        text.append(losses)
    assert first["base_loss"] == pytest.approx(float(torch.stack(behind).mean()), abs=TOY_LOGPROBS)
    assert first["mixed_loss"] == first["base_loss"]
    assert first["text_loss"] == pytest.approx(float(torch.cat(text).mean()), abs=TOY_LOGPROBS)
    assert first["total_loss"] == first["text_loss"]
    assert first["answer_accuracy"] == pytest.approx(sum(right) / 50)
    log = json.loads((silent / "metrics.jsonl").read_text().splitlines()[0])
    assert log["tokens_per_s"] > 0

    thinking = run(config, tmp_path / "thinking", once)
    other = metrics_of(thinking)[0]
    for name in ("base_loss", "text_loss"):
        assert other[name] == pytest.approx(first[name], abs=TOY_LOGPROBS)
    assert other["gate_share"] == other["gate_share_elsewhere"] == 1.0  # a fresh gate is open


def test_samples_are_thoughts_behind_the_markers(config: Path, tmp_path: Path) -> None:
    directory = run(config, tmp_path / "run")
    lines = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 3
    assert all(line["context"].endswith("?") for line in lines)
    assert all(line["next_token"].isdecimal() for line in lines)


def test_the_checkpoint_has_the_gate_and_the_rule(config: Path, tmp_path: Path) -> None:
    directory = run(config, tmp_path / "run", {"thinking": {"where": "gate"}})
    trained = load_file(directory / "model" / "quiet_star.safetensors")
    assert trained["gate.weight"].any()
    noted = json.loads((directory / "model" / "quiet_star.json").read_text())
    assert noted["thinking"] == {"where": "gate"}
    assert noted["training"]["settings"]["objective"]["places"] == PLACES
    assert torch.equal(trained["gate.bias"], weights_of(directory)["model.thought_parts.gate.bias"])
    model = load_model(directory / "model", dtype="float32", device="cpu")
    gate = model.thinking_parts.gate
    assert gate is not None
    assert torch.equal(gate.weight, trained["gate.weight"])
    again = {"model": str(directory / "model"), "objective.gate": None, "steps": 1}
    further = run(config, tmp_path / "further", again) / "model" / "quiet_star.safetensors"
    assert torch.equal(load_file(further)["gate.weight"], gate.weight)  # it only learns if told to
    assert not torch.equal(load_file(further)["end_thought"], trained["end_thought"])


def test_a_gate_changes_no_other_weight(config: Path, tmp_path: Path) -> None:
    """Its gradients are not clipped with the others: they would shorten the others' steps."""
    clipped = {"optimizer.max_gradient_norm": 0.01}
    with_gate = weights_of(run(config, tmp_path / "with", clipped))
    without = weights_of(run(config, tmp_path / "without", clipped | {"objective.gate": None}))
    assert len(with_gate) == len(without) + 2
    for name, tensor in without.items():
        assert torch.equal(tensor, with_gate[name]), name


def test_random_thoughts_are_random_and_reinforce_nothing(config: Path, tmp_path: Path) -> None:
    directory = run(config, tmp_path / "run", {"objective.thoughts": "random"})
    assert {line["thought_entropy"] for line in metrics_of(directory)} == {0}
    other = {"objective.thoughts": "random", "objective.policy_weight": 77.0}
    same = run(config, tmp_path / "same", other)
    for name, tensor in weights_of(directory).items():
        assert torch.equal(tensor, weights_of(same)[name]), name


def test_fresh_vectors_are_the_named_tokens(config: Path, tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "model": str(config.parent / "plain"),
        "vectors": {"start": ">", "end": "="},
    }
    tiny = {"optimizer.learning_rate": 1e-12, "steps": 1, "objective.gate": None}
    directory = run(config, tmp_path / "run", plain | tiny)
    model = load_model(directory / "model", dtype="float32", device="cpu")
    rows = model.embed(torch.tensor(model.tokenizer.convert_tokens_to_ids([">", "="])))
    parts = model.thinking_parts
    torch.testing.assert_close(parts.start_thought, rows[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.end_thought, rows[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective.places.behind": ["??"]}, r"behind = '\?\?': the vocabulary has no such token"),
        ({"objective.places.behind": ["#"]}, r"behind = \['#'\]: no window of the text has such"),
        ({"objective.places.behind": ["<eos>"]}, "with another one behind it"),  # always the last
        ({"objective.places.behind": ["<|endthought|>"]}, "special token, which no text holds"),
        ({"objective.places.elsewhere": 0}, "gate: it can only learn"),
        ({"objective.places": {"behind": []}}, "no place to think"),
        ({"objective.think_every": 2}, "think_every = 2"),
        ({"vectors": {"start": ">", "end": "="}}, "has thought parts already"),
        ({"thinking": {"where": "nowhere"}}, "where must be one of"),
        ({"thinking": {"where": "behind", "tokens": ["??"]}}, r"no token '\?\?'"),
        ({"objective.gate": None, "thinking": {"where": "gate"}}, "the checkpoint has none"),
        ({"data.window": 10}, r"document \d+ has 1\d tokens.*data.window = 10"),
    ],
)
def test_what_does_not_fit_is_refused(
    config: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(config, tmp_path / "run", changes)


def test_a_gate_that_will_not_be_used_is_named(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without `thinking` a new checkpoint thinks everywhere, whatever its gate has learned."""
    run(config, tmp_path / "without", {"steps": 1})
    assert "objective.gate learns where to think, but the checkpoint thinks before" in caplog.text
    caplog.clear()
    run(config, tmp_path / "with", {"steps": 1, "thinking": {"where": "gate"}})
    assert "objective.gate" not in caplog.text
