"""Starts `qstar` with a scripted model, in pipes and in pseudo terminals."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NASTY = [
    "caf\u00e9 \u65e5",
    "\r\n\t",
    "\x1b",
    "[2J",
    "\x1b]0;title",
    "\x07",
    "\b\b",
    "\u009b2J",
    "\u202e",
    " [bold]end[/]",
]
TEXT = "".join(NASTY)
TOKENS = [[token, "a \x1b[31m thought"] for token in NASTY]
LOCALES = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "utf-8": {"LC_ALL": "C.UTF-8"},
}
STYLE = re.compile(r"\x1b\[[0-9;]*m")
WAIT_S = 60


def environment(extra: Mapping[str, str], *, term: str) -> dict[str, str]:
    ours = ("LC_", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {
        **kept,
        "TERM": term,
        "QSTAR_HISTORY": "0",
        "PYTHONPATH": str(ROOT),
        **extra,
    }


def start(
    *arguments: str,
    tokens: Any = TOKENS,
    locale: str = "utf-8",
    term: str = "xterm-256color",
    **streams: Any,
) -> subprocess.Popen[bytes]:
    script = [sys.executable, "-m", "tests.cli.scripted_cli", json.dumps(tokens)]
    return subprocess.Popen(
        [*script, *arguments],
        cwd=ROOT,
        env=environment(LOCALES[locale], term=term),
        **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams},
    )


def output_of(*arguments: str, text: str = "", **fields: Any) -> bytes:
    """stdout of a command that must succeed, in a pipe."""
    with start(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **fields) as process:
        output, errors = process.communicate(text.encode(), timeout=60)
    assert process.returncode == 0, errors.decode()
    return output


def shown_in_terminal(*arguments: str, **fields: Any) -> str:
    """What a terminal would get, without styles. The size is that of a new one, 80 columns."""
    ours, theirs = pty.openpty()
    with start(*arguments, stdout=theirs, stderr=theirs, **fields):
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 4096):
                pieces.append(piece)
        except OSError:
            pass  # Linux: the other end is closed
    os.close(ours)
    return STYLE.sub("", b"".join(pieces).decode()).replace("\r\n", "\n")


class Terminal:
    """A command in a pseudo terminal, whose user waits for what is shown, and types.

    Attributes:
        shown: all that the command wrote, with its escape sequences.
    """

    def __init__(self, *arguments: str, columns: int = 80, rows: int = 24, **fields: Any) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.attributes = termios.tcgetattr(theirs)
        self._theirs = theirs
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
        self._process = start(*arguments, **{**streams, **fields})
        self.shown = ""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as a window does."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, *, count: int = 1) -> str:
        """Wait until a text was shown so many times since the last call; what was shown since."""
        begin = len(self.shown)
        deadline = time.monotonic() + WAIT_S
        while self.shown.count(text, begin) < count:
            left = deadline - time.monotonic()
            if left < 0:
                self._process.kill()
                self._process.wait()
                self._close()
                raise AssertionError(f"{text!r} is not in {self.shown[begin:]!r}")
            if select.select([self._ours], [], [], left)[0]:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")
        return self.shown[begin:]

    def end(self) -> int:
        """Wait for the end of the command; its exit status. The terminal must be as before."""
        status = self._process.wait(timeout=WAIT_S)
        while select.select([self._ours], [], [], 0)[0]:
            self.shown += os.read(self._ours, 65536).decode(errors="replace")
        assert termios.tcgetattr(self._theirs) == self.attributes
        self._close()
        return status

    def _close(self) -> None:
        os.close(self._theirs)
        os.close(self._ours)
