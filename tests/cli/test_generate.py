"""`qstar generate` with a scripted model."""

import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from qstar_infer.cli import generate as module
from qstar_infer.cli.main import app
from qstar_infer.config import EngineConfig
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import RequestError
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.thinking_rule import ThinkingRule

runner = CliRunner()


def test_piped_output_is_only_the_text(fake_llm: Any) -> None:
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


def test_a_byte_order_mark_of_a_piped_file_is_no_text(fake_llm: Any) -> None:
    runner.invoke(app, ["generate"], input="\ufeffWhere \ufeff?\n".encode())
    assert fake_llm.prompt == "Where \ufeff?"


@pytest.mark.usefixtures("fake_llm")
def test_empty_pipe_is_an_error() -> None:
    result = runner.invoke(app, ["generate"], input="")
    assert result.exit_code == 2
    assert "empty" in result.stderr


@pytest.mark.usefixtures("fake_llm")
def test_json_contains_text_and_thoughts() -> None:
    result = runner.invoke(app, ["generate", "Where?", "--json"])
    answer = json.loads(result.stdout)
    assert answer["prompt"] == "Where?"
    assert answer["text"] == "Paris is big.\n"
    assert answer["finish_reason"] == "length"
    assert answer["thoughts"][0]["thought"] == "the capital"
    assert answer["thoughts"][0]["mixing_weight"] == 0.25
    assert None not in answer["thoughts"][0].values(), "nothing that was not asked for"


@pytest.mark.usefixtures("fake_llm")
def test_json_without_thoughts() -> None:
    result = runner.invoke(app, ["generate", "Where?", "--json", "--no-thoughts"])
    assert "thoughts" not in json.loads(result.stdout)


def test_options_reach_the_model_and_the_request(fake_llm: Any) -> None:
    line = (
        "generate Hi --model /m --max-tokens 3 --temperature 0 --top-p 0.5 --top-k 4 --seed 7 "
        "--num-thought-tokens 2 --thinking behind:? --think-threshold 0.9 --speculation 3 "
        "--dtype float32 --device cpu --quantization nf4 --revision v1"
    )
    runner.invoke(app, line.split())
    assert fake_llm.engine_args == EngineArgs(
        model="/m",
        dtype="float32",
        device="cpu",
        quantization="nf4",
        revision="v1",
        engine=EngineConfig(speculation=3),
    )
    params = fake_llm.params
    assert (params.max_tokens, params.temperature, params.top_p, params.top_k) == (3, 0.0, 0.5, 4)
    assert (params.seed, params.num_thought_tokens, params.think_threshold) == (7, 2, 0.9)
    assert params.thinking == ThinkingRule(where="behind", tokens=("?",))


@pytest.mark.parametrize("command", ["generate Hi", "chat"])
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("everywhere", ThinkingRule()),
        ("gate", ThinkingRule(where="gate")),
        ("behind:7", ThinkingRule(where="behind", tokens=("7",))),
        ("behind::", ThinkingRule(where="behind", tokens=(":",))),
        ("behind:a,b", ThinkingRule(where="behind", tokens=("a,b",))),
        (None, None),
    ],
)
def test_a_thinking_rule_reaches_the_request(
    fake_llm: Any, command: str, text: str | None, rule: ThinkingRule | None
) -> None:
    arguments = [*command.split(), *([] if text is None else ["--thinking", text])]
    runner.invoke(app, arguments, input="a\n")
    assert fake_llm.params.thinking == rule


@pytest.mark.parametrize(
    "text", ["", "never", "Gate", "gate:", "everywhere:?", "behind", "behind:"]
)
def test_a_wrong_thinking_rule_is_refused_before_the_model_is_loaded(
    fake_llm: Any, text: str
) -> None:
    result = runner.invoke(app, ["generate", "Hi", "--thinking", text])
    assert result.exit_code == 2
    assert "--thinking" in result.stderr
    assert fake_llm.engine_args is None


def test_sampling_defaults_come_from_the_checkpoint_then_the_command(fake_llm: Any) -> None:
    runner.invoke(app, ["generate", "Hi"])
    assert (fake_llm.params.temperature, fake_llm.params.top_p) == (0.7, 1.0)
    fake_llm.model_info = replace(
        fake_llm.model_info, sampling_defaults=SamplingDefaults(temperature=0.2, top_p=0.5)
    )
    runner.invoke(app, ["generate", "Hi"])
    assert (fake_llm.params.temperature, fake_llm.params.top_p) == (0.2, 0.5)
    runner.invoke(app, ["generate", "Hi", "--temperature", "0", "--top-p", "1"])
    assert (fake_llm.params.temperature, fake_llm.params.top_p) == (0.0, 1.0)


def test_wrong_sampling_value_is_rejected_before_the_model_is_loaded(fake_llm: Any) -> None:
    result = runner.invoke(app, ["generate", "Hi", "--top-p", "2"])
    assert isinstance(result.exception, RequestError)
    assert "top_p must be a number in (0, 1], got 2.0" in str(result.exception)
    assert fake_llm.engine_args is None
