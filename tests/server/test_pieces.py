"""Which characters each token brings."""

import random
from collections.abc import Sequence

import pytest
from qstar_server.pieces import Piece, PieceReader, align
from qstar_server.wire import finite_logprob

from tests.server.fake_engine import text_of


@pytest.mark.parametrize("text", ["plain", "é😀ü", "a\ufffdb", ""])
def test_pieces_join_to_the_text(text: str) -> None:
    reader = PieceReader(text_of)
    assert "".join(reader.push(token_id).text for token_id in text.encode()).startswith(
        text.rstrip("\ufffd")
    )


@pytest.mark.parametrize("seed", range(30))
def test_pieces_of_random_bytes_join_to_the_text(seed: int) -> None:
    draw = random.Random(seed)
    raw = bytes(draw.choice(b"ab\xc3\xa9\xe2\x82\xac\xf0\x9f") for _ in range(60)) + b"z"
    reader = PieceReader(text_of)
    text = "".join(reader.push(byte).text for byte in raw)
    assert text == raw.decode(errors="replace")


def test_bytes_that_are_no_character_do_not_wait_for_ever() -> None:
    reader = PieceReader(text_of)
    pieces = [reader.push(0xFF) for _ in range(20)]
    assert "".join(piece.text for piece in pieces)


def test_a_leading_space_that_decoding_drops_is_kept_in_context() -> None:
    """SentencePiece tokenizers drop the space that a decoded text begins with."""
    words = [" the", " cat"]

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(words[token_id] for token_id in token_ids).removeprefix(" ")

    reader = PieceReader(decode, context=[0])
    assert reader.push(1) == Piece(0, " cat")


def test_a_space_behind_a_token_without_text_is_kept() -> None:
    words = [" the", "", " cat"]

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(words[token_id] for token_id in token_ids).removeprefix(" ")

    reader = PieceReader(decode)
    assert [reader.push(token_id).text for token_id in (0, 1, 1, 2)] == ["the", "", "", " cat"]


def test_tokens_begin_behind_bytes_that_turn_out_to_be_no_character() -> None:
    """Found with a random model: a lone first byte, then a word, had the word begin at the byte."""
    raw = b"a\xffb\xc3(\xc3\xc3\xa9\xf0\x9fz"
    reader, settled, begins = PieceReader(text_of), "", []
    for token_id in raw:
        piece = reader.push(token_id)
        begins.append(len(settled) + piece.begin)
        settled += piece.text
    assert settled == raw.decode(errors="replace") == "a\ufffdb\ufffd(\ufffd\u00e9\ufffdz"
    assert begins == [0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


@pytest.mark.parametrize(
    ("text", "pieces", "offsets"),
    [
        ("ab", ["a", "b"], [0, 1]),
        ("ab", ["<s>", "a", "b"], [0, 0, 1]),
        ("the cat", ["<s>", " the", " cat"], [0, 0, 3]),
        ("é", ["", "é"], [0, 0]),
        ("a", ["a", "</s>"], [0, 1]),
        ("e\u0301a bc", ["", "\u00e9", "a", " b", "c"], [0, 0, 2, 3, 5]),
        ("xe\u0301\u00e9", ["x", "", "\u00e9", "", "\u00e9"], [0, 1, 1, 3, 3]),
        ("A bc. A de", ["a", " bc", ".", " a", " de"], [0, 1, 4, 5, 7]),
        ("the cat the", ["<s>", " the", " cat", " the"], [0, 0, 3, 7]),
        ("", [], []),
    ],
)
def test_tokens_are_found_in_the_clients_text(
    text: str, pieces: list[str], offsets: list[int]
) -> None:
    """A tokenizer that normalises once left all offsets behind its first change at that place."""
    assert align(text, [Piece(0, piece) for piece in pieces]) == offsets


@pytest.mark.parametrize("value", [float("-inf"), float("nan"), -10_000.0])
def test_a_logprob_that_json_cannot_carry_is_the_lowest(value: float) -> None:
    assert finite_logprob(value) == -9999.0


def test_any_other_logprob_is_itself() -> None:
    assert finite_logprob(-1.25) == -1.25
