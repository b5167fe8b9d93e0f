"""Answer sets: their files, their figures, and a run that measures them in every way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qstar_eval.answer_files import read_answer_set
from qstar_eval.answer_sets import AnswerQuestion, measure_answers
from qstar_eval.answer_task import AnswerTask
from qstar_eval.bootstrap import Bootstrap
from qstar_eval.checkpoints import find_checkpoints
from qstar_eval.config import AnswerSetConfig, EvalConfig
from qstar_eval.output import write_output
from qstar_eval.runner import Evaluation, make_tasks
from qstar_eval.task import Record
from qstar_infer.checkpoint import save_model
from qstar_infer.errors import CheckpointError, ConfigError

from ..parity.toy import make_toy
from ..tolerances import TOY_LOGPROBS
from .toys import target_of

ROWS: list[dict[str, Any]] = [
    {"q": "1+1=", "a": 2, "steps": 10, "cot": "11"},
    {"q": "5-3*9=", "a": "8", "steps": 2, "cot": None},
    {"q": "7=", "a": "7", "steps": 1, "cot": "<&"},
    {"q": "4+4=", "a": "8", "steps": 2, "cot": "8"},
]
FIELDS = {
    "name": "sums",
    "prompt_field": "q",
    "answer_field": "a",
    "group_field": "steps",
    "working_field": "cot",
}


def config_of(tmp_path: Path, rows: list[Any] = ROWS, **changes: Any) -> AnswerSetConfig:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return AnswerSetConfig.model_validate(FIELDS | {"path": str(path)} | changes)


def record_of(index: int, group: str | None, **figures: Any) -> Record:
    return {
        "index": index,
        "group": group,
        "base_loss": 2.0,
        "mixed_loss": 1.0,
        "is_base_right": False,
        "is_mixed_right": True,
        "is_mixed_right_among": True,
        "mixing_weight": 0.5,
        "is_working": None,
        "working_share": None,
    } | figures


def test_a_file_is_read_by_the_keys_that_the_config_names(tmp_path: Path) -> None:
    questions = read_answer_set(config_of(tmp_path, max_questions=2))
    assert questions == [
        AnswerQuestion(prompt="1+1=", answer="2", group="10", working="11"),
        AnswerQuestion(prompt="5-3*9=", answer="8", group="2"),
    ]
    bare = read_answer_set(config_of(tmp_path, group_field=None, working_field=None))
    assert bare[0] == AnswerQuestion(prompt="1+1=", answer="2")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"q": "1"}, "row 2: a is missing; the row has 'q'"),
        (ROWS[0] | {"a": ""}, "row 2: a must be a text that is not empty"),
        (ROWS[0] | {"a": 1.5}, "a must be .* got 1.5"),
        (ROWS[0] | {"q": True}, "q must be .* got True"),
        (ROWS[0] | {"q": "\ud800"}, "half a character"),
        (ROWS[0] | {"steps": None}, "steps must be"),
        ({"q": "1", "a": "1", "steps": 1}, "cot is missing"),
        ([1], "row 2 is a list"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, row: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_answer_set(config_of(tmp_path, [ROWS[0], row]))


def test_a_line_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    """The parser raises RecursionError, which was a traceback."""
    config = config_of(tmp_path, [ROWS[0]])
    with Path(config.path).open("a", encoding="utf-8") as file:
        file.write("[" * 100_000)
    with pytest.raises(ConfigError, match="row 2 is not JSON"):
        read_answer_set(config)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no questions"):
        read_answer_set(config_of(tmp_path, []))
    with pytest.raises(ConfigError, match="someone/something does not exist"):
        read_answer_set(config_of(tmp_path, path="someone/something"))


def test_figures_are_means_over_questions_and_groups(tmp_path: Path) -> None:
    task = AnswerTask(config_of(tmp_path), [])
    records = [
        record_of(0, "10", mixed_loss=4.0, is_mixed_right=False, is_base_right=True),
        record_of(1, "x", mixed_loss=0.5, working_share=0.5, is_working=False),
        record_of(2, "2", mixed_loss=1.5, working_share=1.0, is_working=True),
        record_of(3, "2", base_loss=4.0, is_mixed_right_among=False),
    ]
    values = {
        name: estimate.value for name, estimate in task.summarise(records, Bootstrap()).items()
    }
    assert values == {
        "accuracy_base": 0.25,
        "accuracy_mixed": 0.75,
        "accuracy_gain": 0.5,
        "loss_base": 2.5,
        "loss_mixed": 1.75,
        "accuracy_among": 0.75,
        "mixing_weight": 0.5,
        "working": 0.5,
        "working_tokens": 0.75,
    }
    groups = task.by_group(records, Bootstrap())
    assert [(group.group, group.num_questions) for group in groups] == [
        ("2", 2),
        ("10", 1),
        ("x", 1),
    ]
    assert groups[0].figures["loss_base"].value == 3.0
    assert groups[0].figures["working"].value == 1.0
    # All right: the interval is Wilson's, not a point.
    assert groups[0].figures["accuracy_mixed"].low == pytest.approx(2 / (2 + 1.96**2))


def test_a_comparison_is_paired(tmp_path: Path) -> None:
    task = AnswerTask(config_of(tmp_path), [])
    losses = np.random.default_rng(0).normal(5, 3, 50)
    ours = [record_of(i, None, mixed_loss=float(loss)) for i, loss in enumerate(losses)]
    others = [
        record_of(i, None, mixed_loss=float(loss) + 1, is_mixed_right=i % 2 == 0)
        for i, loss in enumerate(losses)
    ]
    found = task.compare(ours, others, Bootstrap())
    assert found["loss_mixed"].low == pytest.approx(-1)
    assert found["loss_mixed"].high == pytest.approx(-1)
    assert found["accuracy_mixed"].value == 0.5
    assert "working" not in found


@pytest.mark.parametrize("kind", ["sampled", "shuffled"])
def test_records_are_those_of_the_function(tmp_path: Path, kind: str) -> None:
    config = config_of(tmp_path, batch_size=1)
    questions = read_answer_set(config)
    task, target = AnswerTask(config, questions), target_of(make_toy().model, kind=kind)
    records = [record for index in (3, 0, 1, 2) for record in task.measure(target, [index])]
    expected = measure_answers(
        target.model,
        questions,
        num_thought_tokens=3,
        thoughts=kind,  # type: ignore[arg-type]
        seed=7,
    )
    for record in records:
        index = record["index"]
        assert record["thought_ids"] == expected[index].thought_ids
        assert record["mixed_loss"] == pytest.approx(expected[index].mixed_loss, abs=TOY_LOGPROBS)
        assert (record["prompt"], record["answer"]) == (ROWS[index]["q"], str(ROWS[index]["a"]))


def test_a_run_measures_answers_with_every_kind_of_thoughts(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_model(make_toy().model, tmp_path / "toy")
    config = EvalConfig(
        answers=[config_of(tmp_path)],
        thought_lengths=[0, 2],
        thoughts=["sampled", "greedy", "random", "shuffled"],
        bootstrap_resamples=100,
        dtype="float32",
        device="cpu",
    )
    tasks, found = make_tasks(config), find_checkpoints([str(tmp_path / "toy")])
    out = tmp_path / "out"
    evaluation = Evaluation(config, found, tasks=tasks, directory=out, on_progress=lambda _: None)
    report = write_output(config, evaluation.run(), out)
    names = [(item["num_thought_tokens"], item["thoughts"]) for item in report["results"]]
    kinds = ("sampled", "greedy", "random", "shuffled")
    assert names == [(0, "none"), *((2, kind) for kind in kinds)]
    pairs = [(c["this"]["thoughts"], c["other"]["thoughts"]) for c in report["comparisons"]]
    assert pairs == [(one, two) for one in kinds[:2] for two in kinds[2:]]
    assert [group["group"] for group in report["results"][1]["groups"]] == ["1", "2", "10"]
    text = (out / "report.md").read_text()
    assert "## sums-answer: accuracy by group in %\n\n| this | 1 | 2 | 10 |" in text
    assert "| toy | 2 | shuffled | " in text
    plots = sorted(path.name for path in (out / "plots").iterdir())
    assert plots == ["sums-answer-accuracy.svg", "sums-answer-toy-groups.svg"]
    page = (out / "pages" / "sums-answer-toy.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + len(ROWS)
    assert "5-3*9=" in page


def test_answers_alone_are_enough_and_names_differ(tmp_path: Path) -> None:
    answers = config_of(tmp_path)
    assert EvalConfig(answers=[answers]).answers == [answers]
    with pytest.raises(ValueError, match="given twice: sums-answer"):
        EvalConfig(answers=[answers, answers])


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    task, target = AnswerTask(config, read_answer_set(config)), target_of(make_toy().model)
    target.model.backbone.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="toy, sums-answer: the answer to question 0"):
        task.measure(target, [0])
