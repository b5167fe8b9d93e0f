"""`qstar generate` with a scripted model."""

import json
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from qstar_infer.cli import generate as module
from qstar_infer.cli.main import app

runner = CliRunner()


def test_piped_output_is_the_text_and_nothing_else(fake_llm: Any) -> None:
    result = runner.invoke(app, ["generate", "Where?"])
    assert result.exit_code == 0
    assert result.stdout == "Paris is big.\n"
    assert fake_llm.is_closed


@pytest.mark.usefixtures("fake_llm")
def test_piped_thoughts_are_plain_text() -> None:
    result = runner.invoke(app, ["generate", "Where?", "--show-thoughts"])
    assert result.stdout == "Paris⟨the capital⟩ is big.⟨very↵large⟩\n"


@pytest.mark.usefixtures("fake_llm")
def test_terminal_shows_shades_thoughts_and_a_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(
        force_terminal=True, color_system="truecolor", width=80, record=True, highlight=False
    )
    monkeypatch.setattr(module, "Console", lambda **_: terminal)
    runner.invoke(app, ["generate", "Where?"])
    shown = terminal.export_text(styles=True)
    assert "\x1b[" in shown
    assert "48;2;" in shown
    assert "mixing weight" in shown
    assert "3 tokens, 4 thought tokens" in shown


def test_prompt_comes_from_a_pipe(fake_llm: Any) -> None:
    runner.invoke(app, ["generate"], input="Where?\n")
    assert fake_llm.prompt == "Where?"


@pytest.mark.usefixtures("fake_llm")
def test_empty_pipe_is_an_error() -> None:
    result = runner.invoke(app, ["generate"], input="")
    assert result.exit_code == 2
    assert "empty" in result.stderr


@pytest.mark.usefixtures("fake_llm")
def test_json_holds_text_and_thoughts() -> None:
    result = runner.invoke(app, ["generate", "Where?", "--json"])
    answer = json.loads(result.stdout)
    assert answer["prompt"] == "Where?"
    assert answer["text"] == "Paris is big.\n"
    assert answer["finish_reason"] == "length"
    assert answer["thoughts"][0]["thought"] == "the capital"
    assert answer["thoughts"][0]["mixing_weight"] == 0.25


@pytest.mark.usefixtures("fake_llm")
def test_json_without_thoughts() -> None:
    result = runner.invoke(app, ["generate", "Where?", "--json", "--no-thoughts"])
    assert "thoughts" not in json.loads(result.stdout)


def test_options_reach_the_model_and_the_request(fake_llm: Any) -> None:
    line = (
        "generate Hi --model /m --max-tokens 3 --temperature 0 --top-p 0.5 --top-k 4 --seed 7 "
        "--num-thought-tokens 2 --think-threshold 0.9 --speculation 3 --dtype float32 --device cpu "
        "--quantization nf4 --revision v1"
    )
    runner.invoke(app, line.split())
    assert fake_llm.arguments == {
        "source": "/m",
        "dtype": "float32",
        "device": "cpu",
        "quantization": "nf4",
        "revision": "v1",
        "speculation": 3,
    }
    params = fake_llm.params
    assert (params.max_tokens, params.temperature, params.top_p, params.top_k) == (3, 0.0, 0.5, 4)
    assert (params.seed, params.num_thought_tokens, params.think_threshold) == (7, 2, 0.9)
