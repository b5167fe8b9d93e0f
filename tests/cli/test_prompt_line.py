"""The input line of a chat, with keys from a pipe in place of a keyboard."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from rich.console import Console

from qstar_infer.cli.chat_commands import COMMANDS
from qstar_infer.cli.chat_input import LineNotUtf8Error
from qstar_infer.cli.history import MAX_BYTES, open_history
from qstar_infer.cli.prompt_line import CommandCompleter, PromptLines

ALT_ENTER = "\x1b\r"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe):
        yield pipe


def lines_of(history: History | None = None) -> PromptLines:
    return PromptLines(Console(), InMemoryHistory() if history is None else history)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("hello\r", "hello"),
        ("  hello \n", "hello"),
        (f"one{ALT_ENTER}two\r", "one\ntwo"),
        ("\x1b[200~pasted\nlines\x1b[201~\r", "pasted\nlines"),
        ("\t", "/look"),
        ("\x04", None),
    ],
)
def test_keys(keyboard: PipeInput, typed: str, line: str | None) -> None:
    keyboard.send_text(typed)
    assert lines_of().read() == line


def test_ctrl_c_is_an_interrupt(keyboard: PipeInput) -> None:
    keyboard.send_text("half\x03")
    with pytest.raises(KeyboardInterrupt):
        lines_of().read()


def test_a_line_that_is_not_utf8_is_an_error(keyboard: PipeInput) -> None:
    keyboard.send_bytes(b"gr\xfcn\r")
    with pytest.raises(LineNotUtf8Error):
        lines_of().read()


def test_past_lines_come_back(keyboard: PipeInput) -> None:
    lines = lines_of()
    keyboard.send_text("first\rsecond\r")
    assert [lines.read(), lines.read()] == ["first", "second"]
    keyboard.send_text("\x1b[A\x1b[A\r")
    assert lines.read() == "first"


@pytest.mark.parametrize(
    ("text", "completions"),
    [
        ("/s", ["/settings", "/system", "/save"]),
        ("/", list(COMMANDS)),
        ("/settings te", ["temperature "]),
        ("/settings temperature ", []),
        ("/save te", []),
        ("hello /s", []),
        ("", []),
    ],
)
def test_commands_and_settings_are_completed(text: str, completions: list[str]) -> None:
    found = CommandCompleter().get_completions(Document(text), CompleteEvent())
    assert [each.text for each in found] == completions


def test_the_history_is_read_by_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyboard: PipeInput
) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "chat-history"
    path.parent.mkdir()
    path.touch(0o644)
    history, trouble = open_history(is_kept=True)
    keyboard.send_text("a secret\r")
    lines_of(history).read()
    assert trouble == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again, _ = open_history(is_kept=True)
    assert list(again.load_history_strings()) == ["a secret"]


def test_no_history_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    history, trouble = open_history(is_kept=False)
    assert isinstance(history, InMemoryHistory)
    assert (trouble, list(tmp_path.iterdir())) == ("", [])


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "file"))
    history, trouble = open_history(is_kept=True)
    assert isinstance(history, InMemoryHistory)
    assert trouble.startswith("lines are not kept for the next chat: ")


def test_a_full_disk_ends_no_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that could not be kept once ended it with a traceback."""
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    history, _ = open_history(is_kept=True)
    path = tmp_path / "chat-history"
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        FileHistory(path).store_string("a line")
    history.store_string("a line")


def test_a_history_that_is_no_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/zero has no end, and once filled the memory."""
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    (tmp_path / "chat-history").symlink_to("/dev/zero")
    history, trouble = open_history(is_kept=True)
    assert isinstance(history, InMemoryHistory)
    assert trouble.startswith("lines are not kept for the next chat: ")


def test_a_long_history_loses_its_older_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    writer = FileHistory(tmp_path / "chat-history")
    for number in range(6):
        writer.store_string(f"{number} " + "x" * (MAX_BYTES // 5))
    history, _ = open_history(is_kept=True)
    assert [line[0] for line in history.load_history_strings()] == ["5", "4"]
    assert (tmp_path / "chat-history").stat().st_size <= MAX_BYTES
