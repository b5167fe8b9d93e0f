"""Offsets of a prompt's tokens in the client's text."""

from collections.abc import Sequence

import pytest

from qstar_infer.text.prompt_offsets import prompt_offsets


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

    def decode(token_ids: Sequence[int]) -> str:
        return "".join(words[token_id] for token_id in token_ids)

    assert prompt_offsets(decode, text, range(len(words))) == offsets


@pytest.mark.parametrize("text", ["né😀b", "é", "😀é😀"])
def test_all_tokens_of_a_character_have_the_same_offset(text: str) -> None:
    def decode(token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode(errors="replace")

    sizes = [len(character.encode()) for character in text]
    wanted = [index for index, size in enumerate(sizes) for _ in range(size)]
    assert prompt_offsets(decode, text, text.encode()) == wanted
