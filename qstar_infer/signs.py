"""Text from a model or a server, made safe to show.

A terminal obeys control characters: they move the cursor, clear the screen, change the title or
reverse the direction of text. Each is shown as a sign instead.
"""

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except line feed and tab, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of text
    "\u2028\u2029"  # separators that some terminals break lines at
    "\ud800-\udfff\U000e0000-\U000e007f]"  # surrogates; invisible tags
)
_CONTROL_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"
_BREAKS = str.maketrans({"\n": "↵", "\r": "↵", "\t": "⇥"})


def printable(text: str) -> str:
    """The text with a sign for each character that a terminal would obey.

    Line feeds and tabs stay. ESC is shown as ␛, U+009B as \\x9b, U+202E as \\u202e.
    """
    return _UNSAFE.sub(lambda match: _sign(ord(match.group())), text)


def one_line(text: str) -> str:
    """As `printable`, with signs for line breaks and tabs as well."""
    return printable(text.translate(_BREAKS))


def _sign(code: int) -> str:
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return _DELETE_PICTURE
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
