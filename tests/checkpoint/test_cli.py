"""`qstar convert` and `qstar init` on the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from qstar_infer.checkpoint import load_model
from qstar_infer.cli.init import init
from qstar_infer.cli.main import main
from qstar_infer.errors import QStarError

from .layouts.makers.common import DELIMITERS, make_tokenizer
from .layouts.makers.gated import make_gated
from .layouts.makers.lightning import make_base, make_lightning
from .layouts.makers.reference import make_reference

ToyMaker = Callable[..., Path]
Runner = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Run a command; returns the exit code and the output on one line."""

    def runner(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["qstar", *(str(a) for a in arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, " ".join((out + err).split())

    return runner


def test_convert_published(run: Runner, golden: Path, tmp_path: Path) -> None:
    code, text = run("convert", golden / "A" / "checkpoint", tmp_path / "dst")
    assert code == 0
    assert "note: num_thought_tokens = 5 was inferred" in text
    assert f"Saved to {tmp_path / 'dst'}" in text
    assert "thinks 5 tokens before each token" in text
    assert load_model(tmp_path / "dst").num_thought_tokens == 5


def test_convert_with_options(run: Runner, golden: Path, tmp_path: Path) -> None:
    options = ("--num-thought-tokens", "3", "--literal", "--dtype", "bfloat16")
    code, text = run("convert", golden / "A" / "checkpoint", tmp_path / "dst", *options)
    assert code == 0
    assert "the first of '---'" in text
    model = load_model(tmp_path / "dst", dtype="stored")
    assert model.num_thought_tokens == 3
    assert str(model.backbone.dtype) == "torch.bfloat16"
    parts = model.thinking_parts
    assert parts.start_thought.equal(parts.end_thought)


def test_convert_with_the_tokenizer_of_the_base(run: Runner, tmp_path: Path) -> None:
    """Fast-Quiet-STaR saves none."""
    made = make_reference(tmp_path / "stage", max_thoughts=25, has_tokenizer=False)
    code, text = run("convert", made.directory, tmp_path / "dst")
    assert code == 2
    assert "has no tokenizer" in text
    assert "--tokenizer" in text
    make_tokenizer(with_delimiters=False).save_pretrained(tmp_path / "base")
    options = ("--tokenizer", tmp_path / "base")
    code, text = run("convert", made.directory, tmp_path / "dst", *options)
    assert code == 0
    assert "note: num_thought_tokens = 13 was inferred from max_thoughts = 25" in text
    model = load_model(tmp_path / "dst")
    assert model.tokenizer.convert_tokens_to_ids(DELIMITERS) == list(model.delimiter_ids)


def test_convert_the_plain_model_of_a_gated_checkpoint(run: Runner, tmp_path: Path) -> None:
    made = make_gated(tmp_path / "gated")
    code, text = run("convert", made.directory, tmp_path / "dst")
    assert code == 2
    assert "a gate for each channel" in text
    code, text = run("convert", made.directory, tmp_path / "dst", "--ignore-thought-parts")
    assert code == 0
    assert "a plain language model" in text
    assert not load_model(tmp_path / "dst").can_think


def test_convert_lightning(
    run: Runner, plain_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model = make_base(tmp_path / "base", plain_tokenizer)
    torch.save(make_lightning(model, thought_length=8), tmp_path / "x.ckpt")
    code, text = run("convert", tmp_path / "x.ckpt", tmp_path / "dst", "--base", tmp_path / "base")
    assert code == 0
    assert "note: num_thought_tokens = 8 is hyper_parameters.config.thought_length" in text
    assert "thinks 8 tokens before each token" in text
    assert load_model(tmp_path / "dst").num_thought_tokens == 8


def test_convert_lightning_without_base(run: Runner, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    code, text = run("convert", tmp_path / "x.ckpt", tmp_path / "dst")
    assert code == 2
    assert "qstar convert FILE.ckpt DST --base BASE" in text


def test_literal_vectors_of_a_lightning_file(run: Runner, tmp_path: Path) -> None:
    options = ("--base", tmp_path, "--literal")
    code, text = run("convert", tmp_path / "x.ckpt", tmp_path / "dst", *options)
    assert code == 2
    assert "Leave one of them out" in text


def test_init(run: Runner, make_plain: ToyMaker, tmp_path: Path) -> None:
    code, text = run("init", make_plain(), tmp_path / "dst", "--num-thought-tokens", "2")
    assert code == 0
    assert "thinks 2 tokens before each token; thought parts freshly initialised" in text
    assert load_model(tmp_path / "dst").num_thought_tokens == 2


def test_init_with_tokens(run: Runner, make_plain: ToyMaker, tmp_path: Path) -> None:
    options = ("--start-token", "a", "--end-token", "b")
    code, _ = run("init", make_plain(), tmp_path / "dst", *options)
    assert code == 0
    model = load_model(tmp_path / "dst", device="cpu")
    ids = [model.tokenizer.get_vocab()[token] for token in ("a", "b")]
    rows = model.backbone.get_input_embeddings().get_parameter("weight")
    assert model.thinking_parts.start_thought.equal(rows[ids[0]])
    assert model.thinking_parts.end_thought.equal(rows[ids[1]])
    code, text = run("init", make_plain(name="other"), tmp_path / "none", "--end-token", "<end>")
    assert code == 2
    assert "end_token = '<end>': the vocabulary has no such token" in text


@pytest.mark.parametrize("command", ["convert", "init"])
def test_full_destination(run: Runner, make_plain: ToyMaker, command: str) -> None:
    directory = make_plain()
    code, text = run(command, directory, directory)
    assert code == 2
    assert "error: " in text
    assert "is not empty" in text


@pytest.mark.parametrize("command", ["convert", "init"])
def test_missing_source(run: Runner, tmp_path: Path, command: str) -> None:
    code, text = run(command, tmp_path / "absent", tmp_path / "dst")
    assert code == 2
    assert "neither a directory, nor a .gguf file, nor a hub id" in text
    assert not (tmp_path / "dst").exists()


def test_errors_are_not_converted_for_callers(make_plain: ToyMaker, tmp_path: Path) -> None:
    with pytest.raises(QStarError, match="dtype='int8'"):
        init(str(make_plain()), tmp_path / "dst", dtype="int8")


@pytest.mark.parametrize("command", ["convert", "init"])
def test_help(run: Runner, command: str) -> None:
    code, text = run(command, "--help")
    assert code == 0
    assert "--num-thought-tokens" in text
    assert "SRC" in text
    assert "DST" in text
