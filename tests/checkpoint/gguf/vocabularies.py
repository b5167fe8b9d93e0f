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


_PIECES = (
    "▁t", "▁th", "▁the", "in", "ing", "er", "on", "▁o", "▁of", "an", "▁an", "▁and", "12", "00",
    "000", "▁▁", "▁▁▁", "▁▁▁▁", "日本", "'s", "...", "==", "é", "▁m", "▁mi", "x",
)  # fmt: skip


def sentencepiece_vocabulary(**keys: Any) -> dict[str, Any]:
    """BPE by scores: bytes, letters and pieces, some of which can be reached in two ways.

    Args:
        keys: more of `tokenizer.ggml.*`; None leaves one out.
    """
    letters = sorted(
        {letter for piece in _PIECES for letter in piece} | set("abcdefghijklmnopqrstuvwxyz 1203.,")
        - {" "}
    )
    pieces = [piece for piece in _PIECES if len(piece) > 1]
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *letters, "<think>"]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
    types += [NORMAL] * (len(pieces) + len(letters)) + [USER_DEFINED]
    values: dict[str, Any] = {
        "model": "llama",
        "tokens": tokens,
        "token_type": types,
        "scores": [0.0] * 259 + [-float(index) for index in range(len(tokens) - 259)],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    held = {name: value for name, value in (values | keys).items() if value is not None}
    return {f"tokenizer.ggml.{name}": value for name, value in held.items()}


_PRE = (
    None, "default", "gpt-2", "llama-bpe", "smaug-bpe", "glm4", "qwen2", "qwen35", "smollm",
    "falcon",
    "deepseek-v3",
)  # fmt: skip
"""One name of each way to split."""

VOCABULARIES = {f"byte-level, {pre}": byte_level_vocabulary(pre) for pre in _PRE} | {
    "byte-level, BOS and EOS": byte_level_vocabulary(
        "smollm", add_bos_token=True, add_eos_token=True
    ),
    "byte-level, no BOS": byte_level_vocabulary("llama-bpe", add_bos_token=False),
    "scores": sentencepiece_vocabulary(),
    "scores, no space": sentencepiece_vocabulary(add_space_prefix=False),
    "scores, EOS": sentencepiece_vocabulary(add_bos_token=False, add_eos_token=True),
    "scores, default ids": sentencepiece_vocabulary(
        bos_token_id=None, eos_token_id=None, unknown_token_id=None
    ),
}
"""Name -> the keys of a tokenizer whose ids llama.cpp has computed."""
