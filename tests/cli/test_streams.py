"""What a command writes: exact text to a pipe or file, safe text to a terminal, short errors."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest

from .processes import LOCALES, STYLE, TEXT, output_of, shown_in_terminal, start

LINES = [["line\n", "thought"]] * 3000
"""More than a pipe holds."""

# --- pipes and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("locale", LOCALES)
def test_a_pipe_gets_the_exact_text_whatever_the_locale(locale: str) -> None:
    assert output_of("generate", "hi", locale=locale) == TEXT.encode()


def test_shown_thoughts_change_nothing_else_in_a_pipe() -> None:
    output = output_of("generate", "hi", "--show-thoughts").decode()
    assert re.sub("⟨[^⟩]*⟩", "", output) == TEXT
    assert "⟨a ␛[31m thought⟩" in output


@pytest.mark.parametrize("locale", LOCALES)
def test_json_and_its_prompt_are_exact(locale: str) -> None:
    """The prompt comes from the command line, which Python decodes for the locale."""
    answer = json.loads(output_of("generate", "Grüße, 日本", "--json", locale=locale))
    assert answer["text"] == TEXT
    assert answer["prompt"] == "Grüße, 日本"


@pytest.mark.parametrize("locale", LOCALES)
def test_chat_reads_and_writes_utf8_in_pipes(locale: str) -> None:
    assert output_of("chat", text="Grüße\nと\n", locale=locale) == f"{TEXT}\n".encode() * 2


def test_a_prompt_that_is_not_utf8_is_refused() -> None:
    with start("generate", "gr\udcfcn", stdout=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"the text is not UTF-8" in errors


# --- terminals ----------------------------------------------------------------------------------


def assert_obeys_nothing(shown: str) -> None:
    """Only line breaks, and tabs, which rich turns into spaces."""
    assert shown.replace("\n", "").isprintable(), repr(shown)


@pytest.mark.parametrize("arguments", [("--show-thoughts",), ("--no-thoughts",), ("--json",)])
def test_a_terminal_obeys_no_character_of_the_model(arguments: tuple[str, ...]) -> None:
    """Escape sequences are split over several tokens here."""
    with_spinner = shown_in_terminal("generate", "hi", *arguments)
    shown = with_spinner.split("A fake model.")[-1]
    assert_obeys_nothing(shown.split("\x1b[2K")[-1])
    for part in ("café 日", "[2J", "[bold]end[/]"):
        assert part in re.sub("⟨[^⟩]*⟩", "", shown)


def test_a_terminal_without_the_characters_shows_escapes() -> None:
    shown = shown_in_terminal("generate", "hi", "--no-thoughts", locale="ascii")
    assert "caf\\xe9 \\u65e5" in shown
    assert "Traceback" not in shown


def chat_in_terminal(typed: bytes, **streams: Any) -> str:
    """What a terminal gets from a chat that must succeed."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams}
    with start("chat", **streams) as process:
        os.close(theirs)
        os.write(ours, typed)
        pieces = []
        try:
            while piece := os.read(ours, 4096):
                pieces.append(piece)
        except OSError:
            pass
    os.close(ours)
    assert process.returncode == 0
    return b"".join(pieces).decode(errors="replace")


def test_a_line_that_is_not_utf8_does_not_end_a_chat() -> None:
    """In other locales, readline leaves out the bytes that are none."""
    shown = chat_in_terminal(b"gr\xfcn\nhi\n/quit\n", tokens=[["fine", ""]], locale="ascii")
    assert "error: the line is not UTF-8" in shown
    assert STYLE.sub("", shown).count("fine") == 1


def test_a_chat_in_a_terminal_is_safe_too() -> None:
    shown = chat_in_terminal(b"hi\n/quit\n", stderr=subprocess.DEVNULL)
    assert "␛]0;title" in re.sub("⟨[^⟩]*⟩", "", STYLE.sub("", shown))
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "hi", "--\x1b[2J"),
        ("generate", "hi", "--max-tokens", "\x1b[2J"),
        ("\x1b[2J",),
        ("prepare", "\x1b[2J", "--out", "x"),
    ],
)
def test_an_error_quotes_nothing_that_a_terminal_obeys(arguments: tuple[str, ...]) -> None:
    shown = shown_in_terminal(*arguments)
    assert_obeys_nothing(shown)
    assert "Traceback" not in shown


# --- stdout that cannot be written to -----------------------------------------------------------

COMMANDS = {
    "generate": ("generate", "hi"),
    "generate --show-thoughts": ("generate", "hi", "--show-thoughts"),
    "generate --json": ("generate", "hi", "--json"),
    "chat": ("chat",),
    "--help": ("--help",),
    "--version": ("--version",),
    "generate --help": ("generate", "--help"),
    "bench decode --help": ("bench", "decode", "--help"),
    "eval --help": ("eval", "--help"),
    "prepare --list": ("prepare", "--list"),
}


def run(*arguments: str, stdout: int | IO[bytes], close_stdout: bool = False) -> tuple[int, str]:
    """The exit status and stderr. A chat gets one line."""
    options: dict[str, Any] = {"preexec_fn": lambda: os.close(1)} if close_stdout else {}
    with start(
        *arguments, tokens=LINES, stdin=subprocess.PIPE, stdout=stdout, **options
    ) as process:
        _, errors = process.communicate(b"hi\n", timeout=60)
    return process.returncode, errors.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_line(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        status, errors = run(*COMMANDS[command], stdout=full)
    assert status == 1
    assert errors == "error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_one_line(command: str) -> None:
    status, errors = run(*COMMANDS[command], stdout=subprocess.DEVNULL, close_stdout=True)
    assert status == 1
    assert errors == "error: the output cannot be written: stdout is closed\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone_ends_a_command_silently(command: str) -> None:
    """As in `qstar ... | head -1`. 141 is what a shell reports for SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    status, errors = run(*COMMANDS[command], stdout=writing)
    os.close(writing)
    assert (status, errors) == (141, "")


def test_numbers_that_are_not_finite_end_a_command_after_its_text() -> None:
    tokens = [["some text", ""], ["FAIL", ""]]
    for extra in ((), ("--show-thoughts",)):
        with start("generate", "hi", *extra, tokens=tokens, stdout=subprocess.PIPE) as process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert output == b"some text"
        assert errors.startswith(b"error: the logits are not finite")
        assert b"--dtype bfloat16 or float32" in errors
