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
_MARKED_LETTERS = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
    r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FALCON_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"
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


_DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GROUPS: dict[PreTokenizer, tuple[str, ...]] = {
    PreTokenizer(patterns=(_PUNCTUATION, _WORDS, r"\p{N}+", "[0-9][0-9][0-9]")): (DEFAULT_PRE,),
    PreTokenizer(patterns=(_WORDS,)): (
        "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "gigachat", "mellum",
        "granite-docling",
    ),
    PreTokenizer(patterns=(_THREE_DIGITS,), ignores_merges=True, adds_bos=True): (
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
    ),
    PreTokenizer(patterns=(_THREE_DIGITS,)): ("smaug-bpe", "dbrx", "chatglm-bpe"),
    PreTokenizer(patterns=(_THREE_DIGITS,), ignores_merges=True): ("glm4",),
    PreTokenizer(patterns=(_ONE_DIGIT,)): (
        "qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "hunyuan", "grok-2",
    ),
    PreTokenizer(patterns=(_MARKED_LETTERS,)): ("qwen35",),
    PreTokenizer(patterns=(r"\p{N}", _WORDS)): (
        "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
    ),
    PreTokenizer(patterns=(_FALCON_PUNCTUATION, _WORDS, "[0-9][0-9][0-9]")): ("falcon",),
    PreTokenizer(patterns=(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK)): ("deepseek-v3",),
}  # fmt: skip

PRE_TOKENIZERS = {name: kind for kind, names in _GROUPS.items() for name in names}
"""Name in the file -> what it means."""
