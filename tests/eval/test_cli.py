"""`qstar eval`: a whole run, and the mistakes it names before a model is loaded."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from qstar_eval import runner
from qstar_eval.cli import evaluate
from qstar_eval.provenance import locked
from qstar_infer.checkpoint import save_model
from qstar_infer.errors import CheckpointError, ConfigError

from ..parity.toy import make_toy
from .toys import TEXTS

CONFIG = """
texts:
  - {name: news, path: TEXTS, max_documents: 5, max_tokens: 16}
thought_lengths: [0, null]
thoughts: [sampled, random]
dtype: float32
device: cpu
bootstrap_resamples: 100
"""

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config and the text it names."""
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("TEXTS", str(texts)))
    return path


def invoke(config: Path, *arguments: str) -> Result:
    line = [*arguments, "--config", str(config), "--out", str(config.parent / "out")]
    return CliRunner().invoke(app, line, env={"COLUMNS": "160"})


def test_a_run_prints_tables_and_writes_all(config: Path) -> None:
    save_model(make_toy().model, config.parent / "toy")
    result = invoke(config, str(config.parent / "toy"), "--set", "seed=5")
    assert result.exit_code == 0, result.exception
    assert "toy" in result.stdout
    assert "gain by difficulty" in result.stdout
    out = config.parent / "out"
    report = json.loads((out / "report.json").read_text())
    assert report["settings"]["seed"] == 5
    assert [item["label"] for item in report["checkpoints"]] == ["toy"]
    assert len(report["checkpoints"][0]["fingerprint"]) == 16
    assert [item["num_units"] for item in report["results"]] == [4, 4, 4]
    assert (out / "report.md").read_text().startswith("# Evaluation")
    assert sorted(path.name for path in (out / "pages").iterdir()) == ["news-toy.html"]
    assert "&lt;C3&gt;" in (out / "pages" / "news-toy.html").read_text(encoding="utf-8")
    assert len((out / "units" / "toy" / "news" / "3-random.jsonl").read_text().splitlines()) == 4


def test_a_log_file_gets_lines(config: Path) -> None:
    save_model(make_toy().model, config.parent / "toy")
    result = invoke(config, str(config.parent / "toy"))
    ways = ("0", "3-sampled", "3-random")
    expected = [f"toy: news {way} {count}/4" for way in ways for count in (0, 4)]
    assert result.stderr.splitlines()[:-1] == ["toy: loading", *expected]


def test_questions_are_measured_with_and_without_random_thoughts(config: Path) -> None:
    """Exact match is left out for random thoughts, which the engine does not have."""
    save_model(make_toy().model, config.parent / "toy")
    questions = config.parent / "questions.jsonl"
    rows = [{"question": f"What is {n} and {n}?", "answer": str(2 * n)} for n in (1, 2, 3)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    setting = f"[{{name: sums, kind: gsm8k, path: {questions}, max_new_tokens: 4, measures: "
    setting += "[probability, exact_match]}]"
    line = ("--set", f"questions={setting}", "--set", "texts=[]")
    assert invoke(config, str(config.parent / "toy"), *line).exit_code == 0
    report = json.loads((config.parent / "out" / "report.json").read_text())
    found = [(item["task"], item["thoughts"]) for item in report["results"]]
    assert found == [
        *(("sums-probability", kind) for kind in ("none", "sampled", "random")),
        *(("sums-exact_match", kind) for kind in ("none", "sampled")),
    ]
    with_random, with_silence = report["comparisons"]
    assert {"base_probability", "mixed_probability"} <= set(with_random["figures"])
    assert with_silence["task"] == "sums-exact_match", "its records hold no base figure"
    assert with_silence["this"]["thoughts"] == "sampled"
    assert with_silence["other"]["thoughts"] == "none"
    assert "exact_match" in with_silence["figures"]


def test_plots_are_drawn_where_matplotlib_is(config: Path) -> None:
    pytest.importorskip("matplotlib")
    save_model(make_toy().model, config.parent / "toy")
    assert invoke(config, str(config.parent / "toy")).exit_code == 0
    plots = sorted(path.name for path in (config.parent / "out" / "plots").iterdir())
    assert plots == ["news-difficulty.svg", "news-loss.svg", "news-mixing.svg"]


def test_plots_and_pages_of_an_earlier_call_do_not_stay(config: Path) -> None:
    """Pages of a checkpoint that is no longer measured stayed next to a report without it."""
    pytest.importorskip("matplotlib")
    out = config.parent / "out"
    for name in ("one", "two"):
        save_model(make_toy().model, config.parent / name)
    assert invoke(config, str(config.parent / "one"), str(config.parent / "two")).exit_code == 0
    (out / "pages" / "notes.txt").write_text("not ours")
    arguments = (str(config.parent / "one"), "--set", "thought_lengths=[0, 3]")
    assert invoke(config, *arguments).exit_code == 0
    assert sorted(path.name for path in (out / "pages").iterdir()) == ["news-one.html", "notes.txt"]
    assert invoke(config, *arguments[:2], "thought_lengths=[0]").exit_code == 0
    assert "news-difficulty.svg" not in {path.name for path in (out / "plots").iterdir()}
    assert [path.name for path in (out / "pages").iterdir()] == ["notes.txt"]


def test_without_matplotlib_the_rest_is_written(
    config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    save_model(make_toy().model, config.parent / "toy")
    assert invoke(config, str(config.parent / "toy")).exit_code == 0
    assert "matplotlib is not installed" in caplog.text
    assert (config.parent / "out" / "report.json").exists()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("thought_length=[1]", "did you mean thought_lengths"),
        ("thought_lengths=[-1]", "greater than or equal to 0"),
        ("thought_lengths=[1, 1]", "given twice: 1"),
        ("thoughts=[spoken]", "'random' or 'shuffled'"),
        ("temperature=-1", "temperature = -1"),
        ("batch_size=0", "batch_size = 0"),
        ("bootstrap_resamples=5", "greater than or equal to 100"),
        ("device=tpu", "device='tpu' is unknown"),
        ("device=meta", "device='meta' is unknown"),
        ("texts=[]", "nothing to measure"),
        ("texts.0.name=a/b", "texts.0.name = 'a/b'"),
        ("texts.0.weight=2", "weight is for training"),
        ("texts.0.max_tokens=1", "greater than or equal to 2"),
        ("texts.0.text_field=body", "has no field 'body'"),
        ("texts.0.path=nowhere.jsonl", "nowhere.jsonl"),
        ("questions=[{name: q, kind: gsm8k, path: no.jsonl}]", "no.jsonl"),
        ("questions=[{name: q, kind: gsm9k, path: no.jsonl}]", "'gsm8k' or 'commonsense_qa'"),
    ],
)
def test_mistakes_are_named_before_a_model_is_loaded(
    config: Path, monkeypatch: pytest.MonkeyPatch, assignment: str, message: str
) -> None:
    monkeypatch.setattr(runner, "load_model", lambda *_, **__: pytest.fail("loaded"))
    result = invoke(config, str(config.parent / "none"), "--set", assignment)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert not (config.parent / "out").exists()


def test_a_missing_checkpoint_is_named_before_another_is_loaded(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_model", lambda *_, **__: pytest.fail("loaded"))
    save_model(make_toy().model, config.parent / "toy")
    result = invoke(config, str(config.parent / "toy"), str(config.parent / "none"))
    assert isinstance(result.exception, CheckpointError)
    assert "none" in str(result.exception)


@pytest.mark.parametrize("measure", ["probability", "exact_match"])
def test_a_tokenizer_that_cannot_be_measured_is_named_before_anything_is(
    config: Path, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    """It ended the run where its checkpoint came, hours after it had begun, without a report."""
    for name in ("one", "two"):
        save_model(make_toy().model, config.parent / name)
    tokenizer = config.parent / "two" / "tokenizer.json"
    values = json.loads(tokenizer.read_text())
    values["normalizer"] = {"type": "Replace", "pattern": {"String": "1"}, "content": "2"}
    tokenizer.write_text(json.dumps(values))
    questions = config.parent / "questions.jsonl"
    questions.write_text(json.dumps({"question": "What is 1 and 1?", "answer": "2"}) + "\n")
    setting = f"[{{name: sums, kind: gsm8k, path: {questions}, max_new_tokens: 2, "
    setting += f"measures: [{measure}]}}]"
    paths = [str(config.parent / name) for name in ("one", "two")]
    line = (*paths, "--set", f"questions={setting}", "--set", "texts=[]")
    if measure == "exact_match":  # which any tokenizer can write
        assert invoke(config, *line).exit_code == 0
        return
    monkeypatch.setattr(runner, "load_model", lambda *_, **__: pytest.fail("loaded"))
    result = invoke(config, *line)
    assert isinstance(result.exception, ConfigError)
    message = "two cannot be measured by sums-probability: the probability measure needs one token"
    assert message in str(result.exception)
    assert not (config.parent / "out").exists()


def test_a_broken_checkpoint_leaves_what_was_measured(config: Path) -> None:
    """Only its weights show it, when all before it is measured; that was said to be impossible."""
    toy = make_toy().model
    save_model(toy, config.parent / "one")
    with torch.no_grad():
        toy.backbone.model.norm.weight.fill_(1e38)
    save_model(toy, config.parent / "two")
    paths = [str(config.parent / name) for name in ("one", "two")]
    result = invoke(config, *paths)
    assert isinstance(result.exception, CheckpointError)
    assert "not finite" in str(result.exception)
    assert "All records so far are kept: run the same command without two" in str(result.exception)
    assert invoke(config, paths[0]).exit_code == 0


def test_two_evaluations_in_one_directory_are_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_model", lambda *_, **__: pytest.fail("loaded"))
    save_model(make_toy().model, config.parent / "toy")
    with locked(config.parent / "out"):
        result = invoke(config, str(config.parent / "toy"))
    assert isinstance(result.exception, ConfigError)
    assert "another evaluation is running" in str(result.exception)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    result = invoke(tmp_path / "no.yaml")
    assert isinstance(result.exception, ConfigError)
    assert "no.yaml" in str(result.exception)
