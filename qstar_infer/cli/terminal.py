"""Text of a model, a request or a file name, made safe to show in a terminal or a log.

A terminal obeys control characters: they move the cursor, clear the screen, change the title or
reverse the direction of text. Each is shown as a sign instead. Every character is replaced alone,
so it does not matter how a text is cut into pieces.
"""

import json
import logging
import re
import warnings
from textwrap import indent
from typing import Any

from rich.text import Text

_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
"""Control characters (C0 except line feed and tab, DEL, C1), marks and overrides of the direction
of text, separators that some terminals break lines at, surrogates, which cannot be encoded, and
tags, which are invisible."""
_UNSAFE_CHARACTER = re.compile(f"[{_UNSAFE}]")
_CONTROL_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"
_BREAKS = str.maketrans({"\n": "↵", "\r": "↵", "\t": "⇥"})


def printable(text: str) -> str:
    """The text with a sign for each character that a terminal would obey.

    Line feeds and tabs stay. ESC is shown as ␛, U+009B as \\x9b, U+202E as \\u202e.
    """
    return _UNSAFE_CHARACTER.sub(lambda match: _sign(match.group()), text)


def one_line(text: str) -> str:
    """As `printable`, with signs for line breaks and tabs as well."""
    return printable(text.translate(_BREAKS))


def safe_text(text: str, style: str = "") -> Text:
    """A printable text for a rich console, without markup: brackets are characters."""
    return Text(printable(text), style=style)


def json_text(value: Any, *, encoding: str | None) -> str:
    """Indented JSON that no terminal obeys. It parses to exactly the value.

    Args:
        encoding: of the stream that it is written to; outside of Unicode, the JSON is ASCII.
    """
    is_unicode = (encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode, indent=2)
    return _UNSAFE_CHARACTER.sub(lambda match: _json_escape(match.group()), text)


class PrintableRecord(logging.LogRecord):
    """A log record whose message no terminal obeys. Libraries format records by themselves."""

    def getMessage(self) -> str:
        """The message, with its line breaks."""
        return printable(super().getMessage())


def make_messages_printable() -> None:
    """Make the log messages and warnings of this process safe to show, those of libraries too.

    transformers, for example, quotes the values of a checkpoint's config in them.
    """
    logging.setLogRecordFactory(PrintableRecord)
    if logging.lastResort is not None:  # shows the warnings of commands without a log
        logging.lastResort.setFormatter(PrintableFormatter("%(message)s"))
    plain = warnings.formatwarning
    vars(warnings)["formatwarning"] = lambda *args, **kwargs: printable(plain(*args, **kwargs))


class PrintableFormatter(logging.Formatter):
    """Formats log records so that neither messages nor tracebacks control a terminal.

    A message is one line, and a traceback is indented, so that no text in them can look like
    another record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, several lines."""
        return indent(printable(super().formatException(ei)), "    ")


def _json_escape(character: str) -> str:
    code = ord(character)  # JSON has an escape for units of UTF-16, and Python writes DEL as it is
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(character)[1:-1]


def _sign(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return _DELETE_PICTURE
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
