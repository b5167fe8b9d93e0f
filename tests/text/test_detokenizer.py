"""The characters that each token adds to a text, if tokens may be parts of characters."""

import random
from collections.abc import Sequence

import pytest

from qstar_infer.text.detokenizer import IncrementalDetokenizer, Piece


def decode_bytes(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode(errors="replace")


def decode_words(words: Sequence[str], token_ids: Sequence[int]) -> str:
    """Drops the space at the start of a text, as SentencePiece tokenizers do."""
    return "".join(words[token_id] for token_id in token_ids).removeprefix(" ")


def begins_of(
    detokenizer: IncrementalDetokenizer, token_ids: Sequence[int]
) -> tuple[str, list[int]]:
    """The text of the tokens, and the offset of each token."""
    text, begins = "", []
    for token_id in token_ids:
        piece = detokenizer.push(token_id)
        begins.append(len(text) + piece.begin)
        text += piece.text
    return text + detokenizer.flush(), begins


@pytest.mark.parametrize("text", ["plain", "é😀ü", "a\ufffdb", ""])
def test_pieces_join_to_the_text(text: str) -> None:
    assert begins_of(IncrementalDetokenizer(decode_bytes), text.encode())[0] == text


@pytest.mark.parametrize("seed", range(30))
def test_pieces_of_random_bytes_join_to_the_text(seed: int) -> None:
    draw = random.Random(seed)
    raw = bytes(draw.choice(b"ab\xc3\xa9\xe2\x82\xac\xf0\x9f") for _ in range(60))
    text, _ = begins_of(IncrementalDetokenizer(decode_bytes), raw)
    assert text == raw.decode(errors="replace")


def test_bytes_of_no_character_are_not_held_back_forever() -> None:
    detokenizer = IncrementalDetokenizer(decode_bytes)
    assert any(detokenizer.push(0xFF).text for _ in range(20))


def test_a_space_that_the_decoder_drops_is_kept_after_a_context() -> None:
    words = [" the", " cat"]
    detokenizer = IncrementalDetokenizer(lambda ids: decode_words(words, ids), context=[0])
    assert detokenizer.push(1) == Piece(0, " cat")


def test_a_space_after_a_token_without_text_is_kept() -> None:
    words = [" the", "", " cat"]
    detokenizer = IncrementalDetokenizer(lambda ids: decode_words(words, ids))
    assert [detokenizer.push(each).text for each in (0, 1, 1, 2)] == ["the", "", "", " cat"]


def test_offsets_are_right_after_bytes_of_no_character() -> None:
    """After a lone first byte, a word used to have the offset of that byte."""
    raw = b"a\xffb\xc3(\xc3\xc3\xa9\xf0\x9fz"
    text, begins = begins_of(IncrementalDetokenizer(decode_bytes), raw)
    assert text == "a\ufffdb\ufffd(\ufffd\u00e9\ufffdz"
    assert begins == [0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


@pytest.mark.parametrize(
    ("prompt", "output"),
    [
        (b"\xe2\x82", b"\xacbcd"),
        (b"\xe2\x82", b"\x82\xacb"),
        (b"\xc3", b"\xa9bcd"),
        (b"ab\xc3", b"\xff\xa9b"),
        (b"a", b"b" + b"\xff" * 7 + b"\xe2\x82\xacc\xff\xffd"),
        (b"a", b"\x82" * 23 + b"b"),
    ],
)
def test_an_output_after_half_a_character_is_decoded_on_its_own(
    prompt: bytes, output: bytes
) -> None:
    """Half a character at the end of the prompt used to be joined with the output's first bytes."""
    text, begins = begins_of(IncrementalDetokenizer(decode_bytes, prompt), output)
    assert text == output.decode(errors="replace")
    for byte, begin in zip(output, begins, strict=True):
        if byte < 128:
            assert text[begin] == chr(byte)
