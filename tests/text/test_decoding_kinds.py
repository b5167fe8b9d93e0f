"""Text and offsets of generated tokens, with every kind of tokenizer."""

import random
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest

from qstar_infer.text.token_text import TokenText

from .tokenizer_kinds import FALLBACK, KINDS, METASPACE, tokenizer_of

BYTE_LEVEL = [kind for kind in KINDS if kind.startswith(("gpt2", "llama3", "qwen2", "byte-level"))]
HAS_FALLBACK = [kind for kind in KINDS if FALLBACK[0] in tokenizer_of(kind).get_vocab()]
TEXTS = ["the cat said 日本語 😀", "né кошка", "  hello\n\tworld 12 "]
PROMPT = "the cat"


def decode(tokenizer: Any, token_ids: Sequence[int], *, skip: bool = False) -> str:
    text: str = tokenizer.decode(
        list(token_ids), skip_special_tokens=skip, clean_up_tokenization_spaces=False
    )
    return text


def generated(
    token_text: TokenText, prompt: Sequence[int], token_ids: Sequence[int], *, skip: bool = False
) -> tuple[str, list[int]]:
    """The text of tokens after a prompt, pushed one by one, and their offsets."""
    detokenizer = token_text.detokenizer(prompt, skip_special_tokens=skip)
    text, offsets = "", [0]
    for token_id in token_ids:
        piece = detokenizer.push(token_id)
        offsets.append(max(offsets[-1], len(text) + piece.begin))
        text += piece.text
    return text + detokenizer.flush(), offsets[1:]


def random_ids(kind: str, *, count: int = 40) -> Iterator[list[int]]:
    """Lists of random ids. Fallback bytes come as whole characters."""
    tokenizer = tokenizer_of(kind)
    vocab = tokenizer.get_vocab()
    others = sorted(index for name, index in vocab.items() if name not in FALLBACK)
    draw = random.Random(kind)
    for _ in range(count):
        ids: list[int] = []
        for _ in range(draw.randint(1, 15)):
            if kind in HAS_FALLBACK and draw.random() < 0.5:
                character = draw.choice("aé日😀\n")
                ids += [vocab[FALLBACK[byte]] for byte in character.encode()]
            else:
                ids.append(draw.choice(others))
        yield ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [True, False])
def test_pieces_join_to_the_tokenizers_own_decoding(kind: str, skip: bool) -> None:
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    prompts = [[], [tokenizer.bos_token_id], token_text.encode(PROMPT)]
    for prompt in prompts:
        for ids in random_ids(kind):
            before = decode(tokenizer, prompt, skip=skip)
            whole = decode(tokenizer, [*prompt, *ids], skip=skip)
            text, _ = generated(token_text, prompt, ids, skip=skip)
            # A decoder may drop white space at the end, which is not known before the end.
            assert (before + text).rstrip() == whole.rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_begin_where_the_text_before_them_ends(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    prompt = token_text.encode(PROMPT)
    before = decode(tokenizer, prompt)
    num_checked = 0
    for ids in random_ids(kind):
        text, offsets = generated(token_text, prompt, ids)
        assert offsets == sorted(offsets)
        assert offsets[-1] <= len(text)
        for index, offset in enumerate(offsets):
            head = decode(tokenizer, [*prompt, *ids[:index]])[len(before) :]
            if "\ufffd" not in head and kind != "slow":  # that one drops spaces at the end
                num_checked += 1
                assert offset == len(head)
    assert num_checked > 50 or kind == "slow"


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_random_bytes_of_byte_level_tokens(kind: str) -> None:
    """Offsets are the characters that the bytes belong to, with U+FFFD as decoders write it."""
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    alphabet = sorted(index for name, index in tokenizer.get_vocab().items() if len(name) == 1)
    draw = random.Random(kind)
    for _ in range(30):
        ids = draw.choices(alphabet, k=40)
        prompt = token_text.encode(PROMPT)
        text, offsets = generated(token_text, prompt, ids)
        assert text == decode(tokenizer, ids)
        assert offsets == [len(decode(tokenizer, ids[: end + 1])) - 1 for end in range(len(ids))]


def of_sentencepiece(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """SentencePiece's rule: each fallback byte that is part of no character is one U+FFFD."""
    text = ""
    names = tokenizer.convert_ids_to_tokens(list(token_ids))
    for is_byte, group in groupby(names, FALLBACK.__contains__):
        if not is_byte:
            text += "".join(group).replace(METASPACE, " ")
            continue
        data = bytes(int(name[3:5], 16) for name in group)
        kept = data.decode(errors="surrogateescape")
        text += "".join("\ufffd" if "\udc80" <= each <= "\udcff" else each for each in kept)
    return text


@pytest.mark.parametrize("kind", ["llama2", "gemma", "llama2-not-legacy"])
def test_broken_bytes_of_byte_fallback(kind: str) -> None:
    """`tokenizers` would drop whole characters beside them, which are already on their way."""
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    vocab = tokenizer.get_vocab()
    words = [vocab[name] for name in ("a", "b", f"{METASPACE}the")]
    draw = random.Random(kind)
    for _ in range(200):
        data = [
            vocab[FALLBACK[draw.choice(b"\xe6\x97\xa5\xff\xc3\xa9A\xf0\x9f")]] for _ in range(9)
        ]
        ids = [token for each in data for token in (each, *draw.choices(words, k=each % 2))]
        text, offsets = generated(token_text, token_text.encode(PROMPT), ids)
        assert text == of_sentencepiece(tokenizer, ids)
        assert offsets == sorted(offsets)
        assert offsets[-1] < len(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_and_its_continuation_are_the_text_of_both(kind: str) -> None:
    """The border may be anywhere: the space that the model produced is not lost."""
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    for text in TEXTS:
        ids = token_text.encode(text, add_special_tokens=False)
        whole = decode(tokenizer, ids)
        for border in range(1, len(ids)):
            head = decode(tokenizer, ids[:border])
            drops_space = kind == "slow" and head == decode(tokenizer, ids[: border - 1])
            if "\ufffd" in head or drops_space:
                continue  # inside of a character, or after white space that is not shown
            tail, _ = generated(token_text, ids[:border], ids[border:])
            assert (head + tail).rstrip() == whole.rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_without_a_token_has_no_text(kind: str) -> None:
    token_text = TokenText(tokenizer_of(kind))
    ids = token_text.encode("the cat", add_special_tokens=False)
    beyond = len(tokenizer_of(kind))
    for extra in (beyond, beyond + 1000):
        with_extra = [ids[0], extra, *ids[1:], extra]
        assert token_text.decode(with_extra) == token_text.decode(ids)
        assert token_text.of_token(extra) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_thought_is_decoded_as_in_the_middle_of_a_text(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    token_text = TokenText(tokenizer)
    prompt = token_text.encode("a", add_special_tokens=False)
    before = decode(tokenizer, prompt)
    for ids in random_ids(kind, count=20):
        whole = decode(tokenizer, [*prompt, *ids])[len(before) :]
        assert token_text.of_piece(ids).rstrip() == whole.rstrip()
