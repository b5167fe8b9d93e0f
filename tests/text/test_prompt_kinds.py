"""Offsets of a prompt's tokens in the text that was sent, with every kind of tokenizer."""

from itertools import pairwise
from typing import Any

import pytest

from qstar_infer.text.token_text import TokenText

from .tokenizer_kinds import FALLBACK, KINDS, METASPACE, tokenizer_of

PROMPTS = [
    "the cat",
    "日本語",
    "x 😀 y",
    "né😀b",
    "👩‍👩‍👧 fam",
    "e\u0301a cafe\u0301 a \u0301b",
    "ﬁne oﬃce ㍿ Ａｂｃ１２",
    "  the  cat  ",
    "\n\n\tthe\ncat\t\r\n",
    "a\x00b\x07c\u200bd\u00a0e\u3000f",
    "a\ufffd\ufffdb",
    "кошка 日本 cat",
    " ",
    "   ",
    "Don't . , see!",
    "１２３ 1234567",
    "ẛ̣ ǆ İ ß",
    "<s>the</s> cat",
    "word two words Café 猫は <|left|> x <|right|>  y",
    "a" * 300 + "日" * 100,
    "",
]
BYTE_LEVEL = [kind for kind in KINDS if kind.startswith(("gpt2", "llama3", "qwen2", "byte-level"))]
BYTE_FALLBACK = ["llama2", "llama2-not-legacy", "gemma", "llama2-added", "slow"]
NORMALISING = ["qwen2-nfc", "byte-level-nfkc", "unigram-nfkc-fallback", "albert", "bert", "clip"]


def cut(text: str, offsets: list[int]) -> list[str]:
    """The characters of each token."""
    return [text[begin:end] for begin, end in pairwise([*offsets, len(text)])]


def without_space(text: str) -> str:
    return "".join(text.replace(METASPACE, " ").split())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds_special_tokens", [True, False])
def test_each_character_of_a_prompt_belongs_to_one_token(
    kind: str, adds_special_tokens: bool
) -> None:
    token_text = TokenText(tokenizer_of(kind))
    for text in PROMPTS:
        ids = token_text.encode(text, add_special_tokens=adds_special_tokens)
        offsets = token_text.offsets(ids, text=text)
        assert len(offsets) == len(ids)
        assert offsets == sorted(offsets)
        assert "".join(cut(text, offsets)) == (text if ids else "")


def num_bytes(name: str, kind: str) -> int:
    """How many bytes of UTF-8 a token stands for."""
    if kind in BYTE_LEVEL:
        return len(name)
    return 1 if name in FALLBACK else len(name.replace(METASPACE, " ").encode())


@pytest.mark.parametrize("kind", [*BYTE_LEVEL, *BYTE_FALLBACK])
def test_a_token_of_bytes_begins_in_the_character_of_its_first_byte(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    num_checked = 0
    for text in PROMPTS:
        if "<" in text:
            continue  # special and added tokens are not written in bytes
        ids = token_text.encode(text, add_special_tokens=False)
        names = tokenizer.convert_ids_to_tokens(ids)
        sizes = [num_bytes(name, kind) for name in names]
        num_extra = sum(sizes) - len(text.encode())
        if num_extra not in (0, 1):  # 1 is the space before a text
            continue  # a normaliser or an added token took characters away
        num_checked += 1
        begins = [max(0, sum(sizes[:index]) - num_extra) for index in range(len(ids))]
        expected = [len(text.encode()[:begin].decode(errors="ignore")) for begin in begins]
        offsets = token_text.offsets(ids, text=text)
        if kind == "slow":  # its decoder moves spaces from the end of a token to the next one
            assert all(offset <= wanted for offset, wanted in zip(offsets, expected, strict=True))
        else:
            assert offsets == expected
    assert num_checked > 12


@pytest.mark.parametrize("kind", NORMALISING)
def test_the_characters_before_a_token_normalise_to_the_tokens_before_it(kind: str) -> None:
    tokenizer: Any = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    num_checked = 0
    for text in PROMPTS:
        ids = token_text.encode(text, add_special_tokens=False)
        if tokenizer.unk_token_id in ids:
            continue
        offsets = token_text.offsets(ids, text=text)
        for index in range(1, len(ids)):
            before = tokenizer.decode(ids[:index])
            if offsets[index] == offsets[index - 1] or "\ufffd" in before:
                continue
            num_checked += 1
            normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
            head, longer = (normalise(text[: offsets[index] + extra]) for extra in (0, 1))
            # One character may become several, and the tokens before this one have some of them.
            assert without_space(before).startswith(without_space(head))
            assert without_space(longer).startswith(without_space(before))
    assert num_checked > 10


@pytest.mark.parametrize(
    ("kind", "text", "pieces"),
    [
        ("unigram-nfkc-fallback", "ﬁne oﬃce ㍿", ["", "", "ﬁ", "n", "e", " oﬃce", " ㍿"]),
        ("qwen2-nfc", "\u1112\u1161\u11ab", ["", "", "\u1112\u1161\u11ab"]),
        (
            "characters-nfc",
            "e\u0301a\u1112\u1161\u11abb",
            ["e\u0301", "a", "\u1112\u1161\u11ab", "b"],
        ),
        ("bert", "  the  cat  ", ["", "  the", "  cat  ", ""]),
        ("bert", "   ", ["   ", ""]),
        ("llama2", "日", ["", "", "", "", "日"]),
        ("gemma", "日x", ["", "", "", "日", "x"]),
        (
            "byte-level-added",
            "a <|left|> b <|right|>  c",
            ["a", " <|left|>", " ", "b", " ", "<|right|>", "  c"],
        ),
        ("gpt2-prefix-space", "the cat", ["the", " cat"]),
        ("gpt2", "the  cat", ["the", " ", " cat"]),
        ("t5", "the cat", ["", "the", " cat", ""]),
        ("slow", "the 日", ["", "the", " ", "", "", "日"]),
    ],
)
def test_the_characters_of_tokens(kind: str, text: str, pieces: list[str]) -> None:
    token_text = TokenText(tokenizer_of(kind))
    ids = token_text.encode(text)
    assert cut(text, token_text.offsets(ids, text=text)) == pieces


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [True, False])
def test_a_prompt_of_token_ids_is_cut_at_its_own_text(kind: str, skip: bool) -> None:
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    for text in PROMPTS:
        ids = [tokenizer.eos_token_id, *token_text.encode(text), tokenizer.bos_token_id]
        decoded = token_text.decode(ids, skip_special_tokens=skip)
        plain = tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
        assert decoded.rstrip() == plain.rstrip()
        offsets = token_text.offsets(ids, skip_special_tokens=skip)
        assert offsets == sorted(offsets)
        assert "".join(cut(decoded, offsets)) == decoded


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_beginning_of_sequence_is_logged_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that always sends it must not fill the log."""
    tokenizer = tokenizer_of(kind)
    adds_bos = tokenizer("").input_ids[:1] == [1]
    text = TokenText(tokenizer)
    text.encode("the")
    text.encode("<s>the", add_special_tokens=False)
    assert caplog.messages == []
    for _ in range(3):
        text.encode("<s>the")
    assert len(caplog.messages) == adds_bos
    assert all("begins with '<s>'" in message for message in caplog.messages)
