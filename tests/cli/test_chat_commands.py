"""The commands of a chat, in a pipe with a scripted model."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from qstar_infer.cli.chat_commands import COMMANDS
from qstar_infer.cli.chat_settings import SETTINGS, settings_text, with_setting
from qstar_infer.cli.main import app
from qstar_infer.errors import RequestFailedError
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.saved_run import read_saved_runs

from .conftest import FakeLLM

runner = CliRunner()
ANSWER = "Paris is big.\n"


def chat(*lines: str, arguments: tuple[str, ...] = ()) -> Result:
    return runner.invoke(app, ["chat", *arguments], input="\n".join(lines))


def asked(llm: FakeLLM) -> list[str]:
    return [each["content"] for each in llm.messages if each["role"] == "user"]


def test_undo_forgets_the_newest_turn(fake_llm: Any) -> None:
    chat("a", "b", "/undo", "c")
    assert asked(fake_llm) == ["a", "c"]


def test_retry_asks_the_same_again(fake_llm: Any) -> None:
    result = chat("a", "b", "/retry")
    assert asked(fake_llm) == ["a", "b"]
    assert result.stdout == ANSWER * 3


def test_a_retry_that_fails_keeps_the_old_answer(fake_llm: Any) -> None:
    def fail(_: int) -> None:
        if fake_llm.num_streams_ended == 1:
            raise RequestFailedError("no")

    fake_llm.on_token = fail
    result = chat("a", "/retry", "b")
    assert "error: no" in result.stderr
    assert asked(fake_llm) == ["a", "b"]


def test_settings_change_the_next_answers(fake_llm: Any) -> None:
    chat("/settings temperature 0.25", "/settings  seed  7", "/settings max_tokens 3", "a")
    params = fake_llm.params
    assert (params.temperature, params.seed, params.max_tokens) == (0.25, 7, 3)
    chat("/settings seed none", "/settings max_tokens none", "a", arguments=("--seed", "7"))
    assert (fake_llm.params.seed, fake_llm.params.max_tokens) == (None, 97)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("temperature 3", "temperature must be a number in [0, 2], got 3"),
        ("temperature none", "temperature must be a number, got 'none'"),
        ("temperature", "temperature must be a number, got ''"),
        ("seed x", "seed must be a number, or none, got 'x'"),
        ("seed 1.5", "seed must be an integer"),
        ("num_thought_tokens 9", "num_thought_tokens may be at most 8 for fake, got 9"),
        ("top_k nan", "top_k must be an integer"),
        (f"seed {'9' * 5000}", "seed must be an integer"),
        ("heat 1", "there is no setting 'heat'; it may be temperature, "),
    ],
)
def test_a_wrong_setting_is_refused_and_changes_nothing(
    fake_llm: Any, setting: str, message: str
) -> None:
    result = chat(f"/settings {setting}", "a")
    assert f"error: {message}" in result.stderr
    assert len(result.stderr) < 300
    assert fake_llm.params.temperature == 0.7
    assert result.exit_code == 0  # every message has an answer


def test_all_settings_are_shown() -> None:
    lines = settings_text(SamplingParams(temperature=0.5, max_tokens=None)).splitlines()
    assert [line.split()[0] for line in lines] == list(SETTINGS)
    assert lines[0].split()[1] == "0.5"
    assert "none: a new one each time" in "\n".join(lines)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_be_set(fake_llm: Any, name: str) -> None:
    changed = with_setting(SamplingParams(), name, "1", fake_llm.model_info)
    assert getattr(changed, name) == 1
    if SETTINGS[name]:
        assert getattr(with_setting(changed, name, "none", fake_llm.model_info), name) is None


def test_the_system_message_can_be_changed(fake_llm: Any) -> None:
    chat("/system Be brief.", "a")
    assert fake_llm.messages[0] == {"role": "system", "content": "Be brief."}
    chat("/system none", "a", arguments=("--system", "Be brief."))
    assert fake_llm.messages == [{"role": "user", "content": "a"}]


@pytest.mark.usefixtures("fake_llm")
def test_all_answers_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    chat("a", "b", f"/save {path}", arguments=("--seed", "7"))
    first, second = read_saved_runs(path)
    assert first.request["messages"] == [{"role": "user", "content": "a"}]
    assert second.request["messages"][1:] == [
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "b"},
    ]
    assert (second.endpoint, second.model, second.request["seed"]) == ("chat", "fake", 7)
    assert second.choices[0].text == ANSWER
    assert [thought.token for thought in second.choices[0].thoughts] == ["Paris", " is", " big.\n"]
    assert second.usage is not None
    assert (second.usage["completion_tokens"], second.usage["total_tokens"]) == (3, 6)


@pytest.mark.usefixtures("fake_llm")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/save", "/save needs the name of a new file"),
        ("/save {tmp}/taken", "exists already; choose another name"),
        ("/save {tmp}/none/x", "cannot be written: No such file or directory"),
        ("/look", "/look needs a terminal, and TERM must not be dumb"),
        ("/quit now", "/quit takes nothing after it, got 'now'"),
        ("/setting", "there is no command '/setting'; did you mean /settings?"),
        ("/\x1b[2J", "there is no command '/\\x1b[2J'; /help lists them"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "taken").touch()
    result = chat("a", line.format(tmp=tmp_path), "b")
    assert message in result.stderr
    assert result.stdout == ANSWER * 2
    assert result.exit_code == 0


@pytest.mark.usefixtures("fake_llm")
@pytest.mark.parametrize("line", ["/undo", "/retry", "/save x.json", "/look"])
def test_without_an_answer_there_is_nothing_to_do(line: str) -> None:
    assert "error: there is no answer yet" in chat(line).stderr


@pytest.mark.usefixtures("fake_llm")
def test_notes_do_not_stand_among_the_answers_of_a_pipe() -> None:
    quiet = ["/help", "/settings", "/system", "/thoughts", "/thoughts", "/clear"]
    result = chat(*quiet, "a", "/undo", "/quit", "b")
    assert (result.stdout, result.stderr) == (ANSWER, "")


def test_every_command_has_a_summary() -> None:
    assert all(command.summary for command in COMMANDS.values())


@pytest.mark.usefixtures("fake_llm")
def test_the_chat_goes_on_after_any_line_with_a_slash() -> None:
    assert chat("/", "//", "/ x", "a").stdout == ANSWER


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nobody-has-this-name/x", "there is no home directory of"),
        ("a\0b", "cannot be written"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_name_that_no_file_can_have_does_not_end_the_chat(
    fake_llm: Any, name: str, message: str
) -> None:
    """The first two once ended it with a traceback."""
    result = chat("a", f"/save {name}", "b")
    assert message in result.stderr
    assert result.exit_code == 0
    assert asked(fake_llm) == ["a", "b"]
