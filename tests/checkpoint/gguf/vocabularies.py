"""Small tokenizers, as the keys of a GGUF file."""

from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SPECIAL = ("<unk>", "<s>", "</s>")
_WORDS = (
    "the", " the", " of", "ing", " and", "tion", "12", "123", " 1", "'s", "'S", "'ll", "\n\n",
    "  ", "   ", "日本", "é", "🙂", "...", " (", "==", "don", "What", " What", "000", "20", "don't",
)  # fmt: skip
"""Texts that become one token, by merges from the left."""


def byte_level_vocabulary(pre: str | None = None, **keys: Any) -> dict[str, Any]:
    """Byte-level BPE with a token for each byte, some merges and three special tokens.

    Args:
        pre: `tokenizer.ggml.pre`; None leaves it out.
        keys: more of `tokenizer.ggml.*`.
    """
    spelling = bytes_to_unicode()
    tokens = [*SPECIAL, *(spelling[byte] for byte in range(256))]
    merges: list[str] = []
    for word in _WORDS:
        letters = [spelling[byte] for byte in word.encode()]
        left = letters[0]
        for letter in letters[1:]:
            if left + letter not in tokens:
                tokens.append(left + letter)
                merges.append(f"{left} {letter}")
            left += letter
    # A whole word without merges that lead to it: only `ignore_merges` finds it.
    tokens.append("zqxj")
    tokens.append("<think>")
    count = len(tokens)
    types = [UNKNOWN, *[CONTROL] * (len(SPECIAL) - 1), *[NORMAL] * (count - len(SPECIAL) - 1)]
    values: dict[str, Any] = {
        "model": "gpt2",
        "tokens": tokens,
        "token_type": [*types, USER_DEFINED],
        "merges": merges,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if pre is not None:
        values["pre"] = pre
    return {f"tokenizer.ggml.{name}": value for name, value in (values | keys).items()}
