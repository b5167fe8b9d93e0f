"""`qstar chat` with a scripted model."""

import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from qstar_infer.cli.conversation import catch_interrupt
from qstar_infer.cli.main import app
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, QStarError, RequestError, RequestFailedError
from qstar_infer.sampling_defaults import SamplingDefaults

runner = CliRunner()


def test_answers_each_line_and_remembers(fake_llm: Any) -> None:
    result = runner.invoke(app, ["chat", "--system", "Be brief."], input="Where?\nWhy?\n/quit\nno")
    assert result.stdout == "Paris is big.\n" * 2
    assert fake_llm.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "Paris is big.\n"},
        {"role": "user", "content": "Why?"},
    ]
    assert fake_llm.is_closed


def test_options_reach_the_model(fake_llm: Any) -> None:
    line = "chat --model org/name --quantization int8 --revision v1 --device cpu"
    runner.invoke(app, line.split(), input="/quit\n")
    assert fake_llm.engine_args == EngineArgs(
        model="org/name", quantization="int8", revision="v1", device="cpu"
    )


def test_checkpoints_sampling_defaults_are_used_for_missing_options(fake_llm: Any) -> None:
    fake_llm.model_info = replace(
        fake_llm.model_info, sampling_defaults=SamplingDefaults(temperature=0.3, top_k=7)
    )
    runner.invoke(app, ["chat", "--top-k", "9"], input="a\n")
    assert (fake_llm.params.temperature, fake_llm.params.top_k) == (0.3, 9)


def test_a_byte_order_mark_of_a_piped_file_is_no_text(fake_llm: Any) -> None:
    runner.invoke(app, ["chat"], input="\ufeffa\n\ufeffb\n".encode())
    asked = [each["content"] for each in fake_llm.messages if each["role"] == "user"]
    assert asked == ["a", "\ufeffb"]


@pytest.mark.usefixtures("fake_llm")
def test_thoughts_toggle() -> None:
    result = runner.invoke(app, ["chat"], input="a\n/thoughts\nb\n")
    first, second = result.stdout.splitlines()
    assert "⟨" not in first
    assert "⟨the capital⟩" in second


def test_clear_command_forgets_the_conversation(fake_llm: Any) -> None:
    runner.invoke(app, ["chat"], input="a\n/clear\nb\n")
    assert fake_llm.messages == [{"role": "user", "content": "b"}]


def test_interrupt_stops_the_answer_but_not_the_chat(fake_llm: Any) -> None:
    def interrupt(number: int) -> None:
        if number == 0 and fake_llm.num_streams_ended == 0:
            os.kill(os.getpid(), signal.SIGINT)

    fake_llm.on_token = interrupt
    result = runner.invoke(app, ["chat"], input="a\nb\n")
    assert result.stdout == "Paris\nParis is big.\n"
    assert fake_llm.num_streams_ended == 2


def test_second_interrupt_ends_the_program() -> None:
    with catch_interrupt() as is_interrupted:
        signal.raise_signal(signal.SIGINT)
        assert is_interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "error", [RequestError("too long \x1b[2J"), RequestFailedError("too long \x1b[2J")]
)
def test_turn_without_an_answer_is_removed_from_the_conversation(
    fake_llm: Any, error: QStarError
) -> None:
    def refuse(_: int) -> None:
        raise error

    fake_llm.on_token = refuse
    result = runner.invoke(app, ["chat"], input="a\nb\n")
    assert result.exit_code == 1
    assert "error: too long ␛[2J" in result.stderr
    assert result.stdout == ""  # holds answers only
    assert fake_llm.messages == [{"role": "user", "content": "b"}]


def test_a_refusing_chat_template_is_shown_as_one_line(fake_llm: Any) -> None:
    def refuse() -> None:
        raise RequestError("the chat template of fake refuses this conversation: no system")

    fake_llm.on_chat = refuse
    result = runner.invoke(app, ["chat", "--system", "x"], input="a\n/quit\n")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: the chat template of fake refuses this conversation: no system")
    assert ". Leave out --system" in line


def test_model_without_chat_template_is_rejected(fake_llm: Any) -> None:
    fake_llm.model_info = replace(fake_llm.model_info, chat_template=None)
    result = runner.invoke(app, ["chat"], input="a\n")
    assert isinstance(result.exception, ConfigError)
    assert "qstar generate" in str(result.exception)


@pytest.mark.parametrize("arguments", [["lab"], ["--model", "lab"], ["-m", "lab"]])
def test_the_model_is_an_argument_or_an_option(fake_llm: Any, arguments: list[str]) -> None:
    """Either wins over the environment."""
    runner.invoke(app, ["chat", *arguments], input="/quit\n", env={"QSTAR_MODEL": "other"})
    assert fake_llm.engine_args.model == "lab"


def test_the_models_name_from_the_environment(fake_llm: Any) -> None:
    runner.invoke(app, ["chat"], input="/quit\n", env={"QSTAR_MODEL": "other"})
    assert fake_llm.engine_args.model == "other"


@pytest.mark.usefixtures("fake_llm")
def test_two_models_are_refused() -> None:
    result = runner.invoke(app, ["chat", "lab", "--model", "lab"])
    assert result.exit_code == 2
    assert "leave out --model" in result.stderr


@pytest.mark.parametrize(
    ("context", "arguments", "wanted"),
    [(4096, [], 512), (100, [], 97), (3, [], 1), (100, ["--max-tokens", "98"], 98)],
)
def test_an_answer_is_as_long_as_the_context_allows(
    fake_llm: Any, context: int, arguments: list[str], wanted: int
) -> None:
    """A model of 64 positions refused every message, because 512 tokens did not fit."""
    fake_llm.model_info = replace(fake_llm.model_info, max_model_len=context)
    runner.invoke(app, ["chat", *arguments], input="a\n")
    assert fake_llm.params.max_tokens == wanted
