"""Lines never cross the right edge, and no character is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from qstar_infer.cli.reading.layout import lay_out, wrapped


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 9, ["one two ", "three"]),
        ("one two", 3, ["one", " ", "two"]),
        ("abcdef", 4, ["abcd", "ef"]),
        ("日本語", 5, ["日本", "語"]),
        ("a\n\nb\n", 9, ["a", "", "b"]),
        ("e\u0301e\u0301", 1, ["e\u0301", "e\u0301"]),
        ("日", 1, ["日"]),
        ("", 5, []),
    ],
)
def test_lines(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


@given(st.lists(st.text("ab 日e\u0301\n👍", min_size=1, max_size=5)), st.integers(2, 12))
def test_nothing_is_lost_and_nothing_too_wide(pieces: list[str], width: int) -> None:
    lines = lay_out(pieces, width)
    for number, piece in enumerate(pieces):
        shown = "".join(part.text for line in lines for part in line if part.token == number)
        assert shown == piece.replace("\n", "")
    for line in lines:
        assert sum(get_cwidth(fragment.text) for fragment in line) <= width
        for fragment in line:
            before = [each.text for each in line if each.column < fragment.column]
            assert fragment.column == sum(map(get_cwidth, before))
    tokens = [fragment.token for line in lines for fragment in line]
    assert tokens == sorted(tokens)
