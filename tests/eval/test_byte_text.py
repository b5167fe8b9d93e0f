"""Bytes in the text of tokens: shown where they are no character, and only there."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_eval.byte_text import BYTE_OF_CHARACTER, with_bytes
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, byte_tokenizer


def fallback_tokenizer() -> PreTrainedTokenizerFast:
    """Like Mistral's: words, and bytes for what is not among them."""
    vocab = {"<unk>": 0, "a": 1, "\u2581b": 2, "<0xE6>": 3, "<0x97>": 4}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def shown(tokenizer: PreTrainedTokenizerFast, token_ids: list[int]) -> str:
    return with_bytes(tokenizer, token_ids, TokenText(tokenizer).of_piece(token_ids))


@pytest.mark.parametrize(
    ("text", "cut", "pieces"),
    [
        ("日本", 4, ["日<E6>", "<9C><AC>"]),
        (" é", 2, [" <C3>", "<A9>"]),
        ("\ufffd!", 3, ["\ufffd", "!"]),
        ("<E2>", 2, ["<E", "2>"]),
    ],
)
def test_bytes_that_are_no_character_are_shown(text: str, cut: int, pieces: list[str]) -> None:
    tokenizer = byte_tokenizer()
    ids: list[int] = tokenizer(text).input_ids
    assert [shown(tokenizer, ids[:cut]), shown(tokenizer, ids[cut:])] == pieces


def test_special_tokens_beside_them_keep_their_names() -> None:
    tokenizer = byte_tokenizer()
    assert shown(tokenizer, [EOS, *tokenizer("é").input_ids[:1]]) == "<eos><C3>"


def test_bytes_beside_words_are_shown_one_by_one() -> None:
    tokenizer = fallback_tokenizer()
    assert [shown(tokenizer, [token_id]) for token_id in (2, 3, 4)] == [" b", "<E6>", "<97>"]
    assert shown(tokenizer, [2, 3]) == " b\ufffd", "as decoded: words are not written in bytes"


def test_every_byte_has_its_character() -> None:
    assert set(BYTE_OF_CHARACTER) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(BYTE_OF_CHARACTER.values()) == list(range(256))
