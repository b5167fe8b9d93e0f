"""How byte-level tokenizers of GGUF files split text before they merge it.

A file only names its way (`tokenizer.ggml.pre`). The patterns and defaults are llama.cpp's; each
name is held to llama.cpp's ids by a test. Names whose patterns llama.cpp only approximates, as
tekken's and gpt-4o's, are left out.
"""

from dataclasses import dataclass

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CASELESS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS = _CASELESS + r"|\p{N}{1,3}" + _TAIL
_ONE_DIGIT = _CASELESS + r"|\p{N}" + _TAIL
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|]+"

DEFAULT_PRE = "default"
"""For files that do not name any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """One way to split text."""

    patterns: tuple[str, ...]
    """Applied one after the other to the pieces of the last; what matches is a piece of its own."""
    ignores_merges: bool = False
    """Whether a piece that is a token stays whole."""
    adds_bos: bool = False
    """Whether a text begins with BOS if the file does not say so."""


_LLAMA3 = PreTokenizer(patterns=(_THREE_DIGITS,), ignores_merges=True, adds_bos=True)
_GPT2 = PreTokenizer(patterns=(_WORDS,))
_QWEN2 = PreTokenizer(patterns=(_ONE_DIGIT,))
_DIGITS_FIRST = PreTokenizer(patterns=(r"\p{N}", _WORDS))

PRE_TOKENIZERS = {
    DEFAULT_PRE: PreTokenizer(
        patterns=(_PUNCTUATION, _WORDS, r"\p{N}+", "[0-9][0-9][0-9]"),
    ),
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "mpt": _GPT2,
    "olmo": _GPT2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "falcon3": _LLAMA3,
    "smaug-bpe": PreTokenizer(patterns=(_THREE_DIGITS,)),
    "dbrx": PreTokenizer(patterns=(_THREE_DIGITS,)),
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "stablelm2": _QWEN2,
    "smollm": _DIGITS_FIRST,
    "starcoder": _DIGITS_FIRST,
    "refact": _DIGITS_FIRST,
    "command-r": _DIGITS_FIRST,
    "codeshell": _DIGITS_FIRST,
}
"""Name in the file -> what it means."""
