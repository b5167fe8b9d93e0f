"""Compiles forms for the byte tokenizer of the toy model, and reads masks."""

from functools import lru_cache
from typing import Any

from qstar_infer.constraints.compiler import CompiledGrammar, GrammarCompiler
from qstar_infer.constraints.text_matcher import MaskBudget, TextMatcher
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, VOCAB_SIZE, byte_tokenizer

TOKENIZER = byte_tokenizer()


@lru_cache
def compiler() -> GrammarCompiler:
    return GrammarCompiler(TokenText(TOKENIZER), vocab_size=VOCAB_SIZE)


def compiled(**form: Any) -> CompiledGrammar:
    return compiler().compile(StructuredOutputs(**form))


def start(*, eos: frozenset[int] = frozenset({EOS}), **form: Any) -> TextMatcher:
    return compiled(**form).start(eos, MaskBudget())


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return ids


def tokens_in(mask: bytes | None) -> set[int]:
    assert mask is not None
    return {index for index in range(8 * len(mask)) if mask[index // 8] >> index % 8 & 1}


def next_texts(matcher: TextMatcher, text: str) -> set[str]:
    """The tokens that may come after a text, decoded; end of sequence is "<eos>"."""
    mask = matcher.allowed_after(ids_of(text))
    return {str(TOKENIZER.decode([token_id])) for token_id in tokens_in(mask)}
