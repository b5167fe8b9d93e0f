"""Streamed words are not split across lines, in any pieces."""

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from qstar_infer.cli.wrap import StreamWrapper


def wrapped(width: int, *pieces: str) -> str:
    wrapper = StreamWrapper(width)
    ready = [wrapper.push(Text(piece)).plain for piece in pieces]
    return "".join(ready) + wrapper.flush().plain


def test_breaks_between_words() -> None:
    assert wrapped(10, "one two three") == "one two \nthree"


def test_word_split_over_pieces_stays_whole() -> None:
    assert wrapped(10, "one two th", "ree") == "one two \nthree"


def test_wide_characters_take_two_columns() -> None:
    assert wrapped(5, "ab 日本") == "ab \n日本"


def test_space_at_the_edge_becomes_the_break() -> None:
    assert wrapped(3, "abc def") == "abc\ndef"


def test_line_breaks_in_the_text_start_a_new_line() -> None:
    assert wrapped(6, "abc\nde fgh") == "abc\nde fgh"


def test_wrapping_keeps_styles() -> None:
    wrapper = StreamWrapper(80)
    ready = wrapper.push(Text("a ", style="bold"))
    assert any(span.style == "bold" for span in ready.spans) or ready.style == "bold"


def test_text_without_spaces_is_printed_before_it_ends() -> None:
    wrapper = StreamWrapper(4)
    assert [wrapper.push(Text(piece)).plain for piece in ("abc", "de", "f")] == ["", "abcde", "f"]


@given(st.lists(st.text("ab \n", max_size=6)), st.integers(1, 12))
def test_wrapping_changes_only_white_space(pieces: list[str], width: int) -> None:
    text = wrapped(width, *pieces)
    assert text.split() == "".join(pieces).split()
    if all(len(word) <= width for word in text.split()):
        assert all(len(line.strip()) <= width for line in text.split("\n"))
