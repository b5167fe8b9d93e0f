"""The characters that each token's bytes add, and where they begin."""

import random

import pytest

from qstar_infer.text.utf8 import Piece, Utf8Stream


def begins_of(data: bytes) -> tuple[str, list[int]]:
    """The text of single bytes, and the offset of each."""
    stream = Utf8Stream("replace")
    text, begins = "", []
    for byte in data:
        piece = stream.push(bytes([byte]))
        begins.append(len(text) + piece.begin)
        text += piece.text
    return text + stream.flush(), begins


@pytest.mark.parametrize("text", ["plain", "é😀ü", "a\ufffdb", "\ufffd" * 20, ""])
def test_pieces_join_to_the_text(text: str) -> None:
    assert begins_of(text.encode())[0] == text


@pytest.mark.parametrize("seed", range(60))
def test_random_bytes_belong_to_the_characters_that_a_decoder_writes(seed: int) -> None:
    draw = random.Random(seed)
    data = bytes(
        draw.choice(b"ab\xc3\xa9\xe2\x82\xac\xf0\x9f\xed\xb4\xe0\x80\xff") for _ in range(60)
    )
    text, begins = begins_of(data)
    assert text == data.decode(errors="replace")
    assert begins == [len(data[: end + 1].decode(errors="replace")) - 1 for end in range(60)]


def test_offsets_are_right_after_bytes_of_no_character() -> None:
    """After a lone first byte, a word used to have the offset of that byte."""
    text, begins = begins_of(b"a\xffb\xc3(\xc3\xc3\xa9\xf0\x9fz")
    assert text == "a\ufffdb\ufffd(\ufffd\u00e9\ufffdz"
    assert begins == [0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


def test_only_a_possible_character_is_held_back() -> None:
    stream = Utf8Stream("replace")
    assert stream.push("日".encode()[:2]) == Piece(0, "")
    assert stream.waiting == "\ufffd"
    assert stream.push(b"\xa5a") == Piece(0, "日a")
    assert stream.push(b"\xff") == Piece(0, "\ufffd")
    assert (stream.waiting, stream.flush()) == ("", "")


def test_each_broken_byte_of_byte_fallback_is_shown() -> None:
    stream = Utf8Stream("qstar-replace-bytes")
    assert stream.push(b"\xe6\x97") == Piece(0, "")
    assert stream.push(b"a") == Piece(2, "\ufffd\ufffda")
