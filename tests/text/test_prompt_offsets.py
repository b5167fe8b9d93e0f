"""Offsets of a prompt's tokens in the client's text, if the tokenizer gives no spans."""

import pytest

from qstar_infer.text.prompt_offsets import prompt_offsets
from qstar_infer.text.utf8 import Piece


@pytest.mark.parametrize(
    ("text", "words", "offsets"),
    [
        ("ab", ["a", "b"], [0, 1]),
        ("ab", ["<s>", "a", "b"], [0, 0, 1]),
        ("the cat", ["<s>", " the", " cat"], [0, 0, 3]),
        ("a", ["a", "</s>"], [0, 1]),
        ("e\u0301a bc", ["\u00e9", "a", " b", "c"], [0, 2, 3, 5]),
        ("xe\u0301\u00e9", ["x", "\u00e9", "\u00e9"], [0, 1, 3]),
        ("A bc. A de", ["a", " bc", ".", " a", " de"], [0, 1, 4, 5, 7]),
        ("the cat the", ["<s>", " the", " cat", " the"], [0, 0, 3, 7]),
        ("", [], []),
    ],
)
def test_tokens_are_found_in_the_clients_text(
    text: str, words: list[str], offsets: list[int]
) -> None:
    """With a normalising tokenizer, all offsets after the first change used to be equal."""
    assert prompt_offsets(text, [Piece(0, word) for word in words], None) == offsets
