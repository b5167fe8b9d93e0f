"""Which characters each token brings, and where a prompt's tokens begin in the client's text."""

from collections.abc import Sequence

import pytest

from qstar_infer.text.detokenizer import Decode, IncrementalDetokenizer, Piece
from qstar_infer.text.prompt_offsets import prompt_offsets


def text_of_bytes(token_ids: Sequence[int]) -> str:
    """Decodes tokens that are the bytes of a text."""
    return bytes(token_ids).decode(errors="replace")


def text_of_words(words: Sequence[str]) -> Decode:
    """Decodes tokens that are words; as SentencePiece does, without the text's first space."""

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(words[token_id] for token_id in token_ids).removeprefix(" ")

    return decode


def test_bytes_that_are_no_character_do_not_wait_for_ever() -> None:
    detokenizer = IncrementalDetokenizer(text_of_bytes)
    assert any(detokenizer.push(0xFF).text for _ in range(20))


def test_a_leading_space_that_decoding_drops_is_kept_after_a_context() -> None:
    detokenizer = IncrementalDetokenizer(text_of_words([" the", " cat"]), [0])
    assert detokenizer.push(1) == Piece(0, " cat")


def test_a_space_after_a_token_without_text_is_kept() -> None:
    detokenizer = IncrementalDetokenizer(text_of_words([" the", "", " cat"]))
    texts = [detokenizer.push(token_id).text for token_id in (0, 1, 1, 2)]
    assert texts == ["the", "", "", " cat"]


def test_pieces_say_where_their_tokens_begin() -> None:
    """Counted from the text that earlier pieces completed; a lone first byte counts as one."""
    detokenizer = IncrementalDetokenizer(text_of_bytes)
    pieces = [detokenizer.push(byte) for byte in b"a\xc3\xc3\xa9"]
    assert pieces == [Piece(0, "a"), Piece(0, ""), Piece(1, ""), Piece(1, "\ufffd\u00e9")]


def offsets_of_pieces(text: str, pieces: list[str]) -> list[int]:
    """The offsets of tokens that decode to these pieces, wherever they stand."""

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(pieces[token_id] for token_id in token_ids)

    return prompt_offsets(decode, text, range(len(pieces)))


@pytest.mark.parametrize(
    ("text", "pieces", "offsets"),
    [
        ("ab", ["a", "b"], [0, 1]),
        ("ab", ["<s>", "a", "b"], [0, 0, 1]),
        ("the cat", ["<s>", " the", " cat"], [0, 0, 3]),
        ("\u00e9", ["", "\u00e9"], [0, 0]),
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
    """A tokenizer that normalises once left all offsets after its first change at that place."""
    assert offsets_of_pieces(text, pieces) == offsets


def test_tokens_of_one_character_begin_where_it_begins() -> None:
    text = "\u00e9\u65e5a\U0001f9e0"
    offsets = prompt_offsets(text_of_bytes, text, list(text.encode()))
    assert offsets == [0, 0, 1, 1, 1, 2, 3, 3, 3, 3]
