"""A run: what it measures, what it skips, how it goes on, what it refuses."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_eval import runner
from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.checkpoints import ModelFacts, find_checkpoints
from qstar_eval.config import EvalConfig
from qstar_eval.held_out import HeldOutTask
from qstar_eval.report import make_report, markdown
from qstar_eval.results import Result
from qstar_eval.runner import Evaluation, Progress, make_tasks
from qstar_eval.task import EvalTarget, Record, Task
from qstar_infer.checkpoint import save_model
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels import module_layers
from qstar_infer.kernels.module_layers import multiply_states
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import EVERYWHERE

from ..parity.toy import make_toy
from ..tolerances import TOY_LOGPROBS
from .toys import TEXTS, held_out

SETTINGS: dict[str, Any] = {
    "texts": [{"name": "texts", "path": "unread.jsonl"}],
    "thought_lengths": [0, 2],
    "thoughts": ["sampled", "random"],
    "bootstrap_resamples": 100,
    "dtype": "float32",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints that think, `one` and `two`, and `plain`, which cannot."""
    path = tmp_path_factory.mktemp("checkpoints")
    save_model(make_toy(seed=0).model, path / "one")
    save_model(make_toy(seed=1).model, path / "two")
    toy = make_toy(seed=0)
    save_model(QuietStarModel(toy.model.backbone, toy.model.tokenizer), path / "plain")
    return path


class Answers(Task):
    """A task of yes and no that cannot measure random thoughts."""

    name = "answers"
    num_examples = 3
    digest = "answers"
    batch_size = 2
    kinds = frozenset({"sampled"})

    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        length = target.mode.num_thought_tokens
        return [{"index": index, "correct": length > index, "text": "x"} for index in indices]

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        return {"accuracy": bootstrap.mean([float(record["correct"]) for record in records])}

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        pairs = zip(records, others, strict=True)
        gains = [float(record["correct"]) - float(other["correct"]) for record, other in pairs]
        return {"accuracy": bootstrap.mean(gains)}


def run(
    out: Path,
    sources: Sequence[Path],
    *,
    tasks: Sequence[Task] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
    **changes: Any,
) -> list[Result]:
    config = EvalConfig.model_validate(SETTINGS | changes)
    checkpoints = find_checkpoints([str(source) for source in sources])
    tasks = tasks or [held_out()]
    return Evaluation(
        config, checkpoints, tasks=tasks, directory=out, on_progress=on_progress
    ).run()


def sums(tmp_path: Path, measures: list[str], **changes: Any) -> tuple[dict[str, Any], list[Task]]:
    """Settings for five questions, and their tasks."""
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"{n} and {n}?", "answer": str(2 * n)} for n in range(5)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    questions = {"name": "q", "kind": "gsm8k", "path": str(path), "max_new_tokens": 3}
    settings: dict[str, Any] = {
        "texts": [],
        "questions": [questions | {"measures": measures}],
        "thoughts": ["sampled"],
    } | changes
    return settings, make_tasks(EvalConfig.model_validate(settings))


def names(results: Sequence[Result]) -> list[str]:
    return [
        f"{result.checkpoint.label} {result.task.name} {result.mode.name}" for result in results
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_by_packed_layers_are_those_of_plain_ones(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    packed = run(tmp_path / "packed", [directory / "one"], dtype=dtype)
    counts: list[int] = []
    monkeypatch.setattr(runner, "pack_layers", lambda *_: counts.append(0))
    plain = run(tmp_path / "plain", [directory / "one"], dtype=dtype)
    assert counts == [0]
    tolerance = TOY_LOGPROBS if dtype == "float32" else 0.1
    got, want = (
        [loss for result in results for loss in base_losses(result)] for results in (packed, plain)
    )
    assert len(got) > 100
    assert got == pytest.approx(want, abs=tolerance)


def base_losses(result: Result) -> list[float]:
    return [loss for record in result.file.records() for loss in record.get("base_losses", [])]


def test_scoring_multiplies_by_packed_weights(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_rows: list[int] = []

    def counting(multiply: Any, dtype: torch.dtype, states: torch.Tensor) -> torch.Tensor:
        num_rows.append(states[..., 0].numel())
        return multiply_states(multiply, dtype, states)

    monkeypatch.setattr(module_layers, "multiply_states", counting)
    run(tmp_path, [directory / "one"])
    assert sum(num_rows) > 100


def test_every_checkpoint_thinks_in_every_way_once(directory: Path, tmp_path: Path) -> None:
    results = run(tmp_path, [directory / "one", directory / "plain"], tasks=[held_out(), Answers()])
    assert names(results) == [
        "one texts 0",
        "one texts 2-sampled",
        "one texts 2-random",
        "one answers 0",
        "one answers 2-sampled",
        "plain texts 0",
        "plain answers 0",
    ]
    assert not any(result.missing for result in results)
    by_name = {result.mode.name: result.file.records() for result in results[:3]}
    assert by_name["2-sampled"][0]["thought_ids"] != by_name["2-random"][0]["thought_ids"]
    assert by_name["2-sampled"][0]["base_losses"] == by_name["2-random"][0]["base_losses"]


@pytest.mark.parametrize(
    ("lengths", "written"),
    [
        ([2], ["0", "2-sampled"]),
        ([2, 3], ["0", "2-sampled", "3-sampled"]),
        ([2, 0], ["2-sampled", "0"]),
        ([0], ["0"]),
    ],
)
def test_answers_are_written_without_thoughts_too(
    directory: Path, tmp_path: Path, lengths: list[int], written: list[str]
) -> None:
    """Else there was nothing to compare thinking with: their records hold no base figure."""
    settings, tasks = sums(tmp_path, ["probability", "exact_match"])
    sources = [directory / "one", directory / "plain"]
    results = run(tmp_path / "out", sources, tasks=tasks, **settings | {"thought_lengths": lengths})
    measured = [f"{length}-sampled" if length else "0" for length in lengths]
    assert names(results) == [
        *(f"one q-probability {mode}" for mode in measured),
        *(f"one q-exact_match {mode}" for mode in written),
        "plain q-probability 0",
        "plain q-exact_match 0",
    ]


def test_what_has_no_random_thoughts_is_said_once(
    directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The control was left out without a word."""
    sources = [directory / "one", directory / "two"]
    run(tmp_path / "both", sources, tasks=[held_out(), Answers()])
    (said,) = caplog.messages
    assert said.startswith("No random thoughts for answers: ")
    caplog.clear()
    run(tmp_path / "sampled", sources, tasks=[held_out(), Answers()], thoughts=["sampled"])
    run(tmp_path / "short", sources, tasks=[held_out(), Answers()], thought_lengths=[0])
    run(tmp_path / "text", sources)
    assert not caplog.messages


def test_lengths_as_trained_and_doubles() -> None:
    facts = ModelFacts(description="", num_thought_tokens=5, can_think=True)
    changes = {"thought_lengths": [None, 5, 0], "thoughts": ["random"], "temperature": 0.5}
    found = facts.thinking_modes(EvalConfig.model_validate(SETTINGS | changes))
    assert [mode.name for mode in found] == ["5-random", "0"]
    assert found[1].kind == "sampled"


def test_the_rule_of_the_checkpoint_can_be_replaced() -> None:
    facts = ModelFacts(description="", num_thought_tokens=5, can_think=True)
    for value, rule in (("checkpoint", None), ("everywhere", EVERYWHERE)):
        config = EvalConfig.model_validate(SETTINGS | {"thinking": value})
        assert {mode.thinking for mode in facts.thinking_modes(config)} == {rule}


class CutOffError(Exception):
    """Stands for an interruption."""


@pytest.mark.parametrize("num_batches", [1, 2, 3, 5])
def test_an_interrupted_run_goes_on(directory: Path, tmp_path: Path, num_batches: int) -> None:
    """Cut after some batches, with half a record after the last; then run the command again."""
    sources = [directory / "one"]
    whole = [result.file.records() for result in run(tmp_path / "whole", sources)]
    done: list[Progress] = []

    def cut_off(progress: Progress) -> None:
        if progress.num_done:
            done.append(progress)
        if len(done) == num_batches:
            raise CutOffError

    with pytest.raises(CutOffError):
        run(tmp_path / "cut", sources, on_progress=cut_off)
    last = tmp_path / "cut" / "units" / "one" / "texts" / f"{done[-1].mode}.jsonl"
    with last.open("a") as file:
        file.write('{"index": 4, "base_lo')
    resumed = run(tmp_path / "cut", sources, batch_size=1)
    assert [result.file.records() for result in resumed] == whole


def test_the_batch_size_is_the_oracles_alone(directory: Path, tmp_path: Path) -> None:
    """The engine got as few questions per call, and idled after each call."""

    def measured(size: int) -> tuple[list[list[Record]], list[int]]:
        done: list[Progress] = []
        measures = ["probability", "exact_match"]
        settings, tasks = sums(tmp_path, measures, batch_size=size, thought_lengths=[2])
        out, sources = tmp_path / str(size), [directory / "one"]
        results = run(out, sources, tasks=tasks, on_progress=done.append, **settings)
        counts = [item.num_done for item in done if item.task == "q-exact_match"]
        return [result.file.records() for result in results], counts

    (one_by_one, written), (together, _) = measured(1), measured(5)
    assert written[-2:] == [0, 5]
    assert one_by_one[1:] == together[1:]
    for first, second in zip(one_by_one[0], together[0], strict=True):
        # Answers of up to four tokens.
        assert first == pytest.approx(second, rel=4 * TOY_LOGPROBS)


def test_what_is_done_is_neither_measured_nor_loaded(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [directory / "one", directory / "plain"]
    first = run(tmp_path, sources)
    monkeypatch.setattr(runner, "load_model", lambda *_, **__: pytest.fail("loaded"))
    again = run(tmp_path, sources)
    assert names(again) == names(first)
    assert again[1].facts.num_thought_tokens == 3


def test_more_checkpoints_and_lengths_may_be_added(directory: Path, tmp_path: Path) -> None:
    run(tmp_path, [directory / "one"], thought_lengths=[0])
    results = run(tmp_path, [directory / "two", directory / "one"], thought_lengths=[0, None])
    assert names(results)[-3:] == ["one texts 0", "one texts 3-sampled", "one texts 3-random"]


def test_a_task_is_added_without_measuring_the_others_again(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, [directory / "one"])
    monkeypatch.setattr(HeldOutTask, "measure", lambda *_: pytest.fail("measured again"))
    more: dict[str, Any] = {"texts": [*SETTINGS["texts"], {"name": "more", "path": "unread.jsonl"}]}
    results = run(tmp_path, [directory / "one"], tasks=[Answers(), held_out()], **more)
    assert names(results)[:3] == ["one answers 0", "one answers 2-sampled", "one texts 0"]
    assert not any(result.missing for result in results)


def test_other_settings_are_refused_by_name(directory: Path, tmp_path: Path) -> None:
    run(tmp_path, [directory / "one"])
    texts = [{"name": "texts", "path": "unread.jsonl", "max_tokens": 9}]
    with pytest.raises(ConfigError, match="'texts': max_tokens was 256 and is 9"):
        run(tmp_path, [directory / "one"], texts=texts)


def test_changed_checkpoints_and_foreign_directories_are_refused(
    directory: Path, tmp_path: Path
) -> None:
    run(tmp_path / "out", [directory / "one"])
    (tmp_path / "one").symlink_to(directory / "two")
    with pytest.raises(ConfigError, match="its content has changed"):
        run(tmp_path / "out", [f"one={tmp_path / 'one'}"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="not from an evaluation"):
        run(tmp_path, [directory / "one"])
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        run(tmp_path / "out", [directory / "one"])


def test_changed_data_is_refused(directory: Path, tmp_path: Path) -> None:
    """After a text file had changed, records of old and new documents were averaged."""
    run(tmp_path, [directory / "one"], tasks=[held_out()])
    with pytest.raises(ConfigError, match="other records of 'texts': its content has changed"):
        run(tmp_path, [directory / "one"], tasks=[held_out(["Another text.", *TEXTS[1:]])])


def test_labels_are_unique_and_can_be_given(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").symlink_to(directory / "one")
    paths = [str(directory / "one"), str(tmp_path / "one"), f"b={directory / 'one'}"]
    assert [item.label for item in find_checkpoints(paths)] == ["one", "one-2", "b"]
    with pytest.raises(ConfigError, match="given to two"):
        find_checkpoints([f"b={directory / 'one'}", f"b={directory / 'two'}"])
    with pytest.raises(ConfigError, match="names files"):
        find_checkpoints([f"a/b={directory / 'one'}"])
    monkeypatch.setattr("qstar_eval.checkpoints.base_source", lambda: paths[0])
    assert [(item.label, item.source) for item in find_checkpoints(["base"])] == [
        ("base", paths[0])
    ]
    with pytest.raises(CheckpointError, match="neither a directory"):
        find_checkpoints(["nowhere at all"])


@pytest.mark.parametrize("name", ["base", "default"])
def test_a_directory_called_like_the_default_model_is_ambiguous(
    name: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`default` was the packaged model all the same, and `base` was not."""
    (tmp_path / name).symlink_to(directory / "one")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"Give \./{name} for the directory"):
        find_checkpoints([name])
    assert [item.label for item in find_checkpoints([f"./{name}"])] == ["one"]


def test_a_damaged_description_of_a_checkpoint_is_named(directory: Path, tmp_path: Path) -> None:
    run(tmp_path, [directory / "one"])
    (tmp_path / "units" / "one" / "checkpoint.json").write_text("{")
    with pytest.raises(ConfigError, match=r"checkpoint\.json is damaged: .* Delete it"):
        run(tmp_path, [directory / "one"])


def test_a_fingerprint_is_of_the_content(directory: Path) -> None:
    one, same, two = find_checkpoints(
        [str(directory / "one"), f"same={directory / 'one'}", str(directory / "two")]
    )
    assert one.fingerprint == same.fingerprint != two.fingerprint


def test_the_report_compares(directory: Path, tmp_path: Path) -> None:
    tasks = [held_out(), Answers()]
    sources = [directory / name for name in ("one", "two", "plain")]
    results = run(tmp_path, sources, tasks=tasks)
    report = make_report(EvalConfig.model_validate(SETTINGS), results)
    json.dumps(report, allow_nan=False)
    figures = {
        (item["task"], *(item["this"].values()), *(item["other"].values())): item["figures"]
        for item in report["comparisons"]
    }
    control = figures["texts", "one", 2, "sampled", "one", 2, "random"]
    of = {
        name: item["figures"] for name, item in zip(names(results), report["results"], strict=True)
    }
    assert control["loss_mixed"]["value"] == pytest.approx(
        of["one texts 2-sampled"]["loss_mixed"]["value"]
        - of["one texts 2-random"]["loss_mixed"]["value"]
    )
    assert control["loss_base"]["value"] == 0
    assert ("texts", "two", 2, "random", "one", 2, "random") in figures
    # `plain` has no thoughts: a control of the first checkpoint, without thoughts and with.
    assert figures["texts", "plain", 0, "none", "one", 0, "none"]["loss_base"]["value"] == 0
    thinking = figures["texts", "plain", 0, "none", "one", 2, "sampled"]["loss_mixed"]["value"]
    assert thinking == pytest.approx(
        of["plain texts 0"]["loss_mixed"]["value"]
        - of["one texts 2-sampled"]["loss_mixed"]["value"]
    )
    assert ("texts", "plain", 0, "none", "one", 2, "random") not in figures
    assert figures["answers", "two", 2, "sampled", "one", 2, "sampled"] == {
        "accuracy": {"value": 0, "low": 0, "high": 0}
    }


def test_the_first_checkpoint_judges_difficulty(directory: Path, tmp_path: Path) -> None:
    results = run(tmp_path, [directory / "one", directory / "two"])
    report = make_report(EvalConfig.model_validate(SETTINGS), results)
    difficulties = [result["difficulty"] for result in report["results"]]
    assert {item["judged_by"] for item in difficulties} == {"one"}
    bounds = [[group["difficulty_low"] for group in item["groups"]] for item in difficulties]
    assert bounds[0] == bounds[-1]
    assert "| two | 2 | random | " in markdown(report)
    assert isinstance(results[0].task, HeldOutTask)
