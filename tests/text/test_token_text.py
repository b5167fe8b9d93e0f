"""The pieces of an output join to its text, and never contain half a character."""

import random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from qstar_infer.errors import RequestError
from qstar_infer.text.detokenizer import IncrementalDetokenizer
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, byte_tokenizer

TEXT = "na\u00efve \u65e5\u672c\u8a9e \U0001f9e0 fin\n"


def detokenizer(
    token_text: TokenText, prompt: list[int], *, skip: bool = True
) -> IncrementalDetokenizer:
    return token_text.detokenizer(prompt, skip_special_tokens=skip)


def byte_ids(data: bytes) -> list[int]:
    """The token of each byte, with the tokenizer of the toy."""
    vocab = byte_tokenizer().get_vocab()
    characters = bytes_to_unicode()
    return [vocab[characters[byte]] for byte in data]


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """Like SentencePiece: a word includes its space, and the first space of a text is dropped."""
    vocab = {"<unk>": 0, "\u2581hello": 1, "\u2581world": 2, "!": 3, "a": 4}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def stripping_tokenizer() -> PreTrainedTokenizerFast:
    """Like Mistral's: the decoder emits spaces, and drops one at the start."""
    vocab = {"<s>": 0, "</s>": 1, "<unk>": 2, "\u2581b": 3, "\u2581cat": 4, "a": 5}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def test_characters_of_several_tokens_are_emitted_whole() -> None:
    token_text = TokenText(byte_tokenizer())
    growing = detokenizer(token_text, [])
    pieces = [growing.push(token_id).text for token_id in token_text.encode(TEXT)]
    assert "".join(pieces) == TEXT
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("seed", range(30))
def test_pieces_of_random_bytes_join_to_the_decoded_text(seed: int) -> None:
    token_text = TokenText(byte_tokenizer())
    draw = random.Random(seed)
    token_ids = [draw.randrange(257) for _ in range(40)]
    growing = detokenizer(token_text, [])
    text = "".join(growing.push(token_id).text for token_id in token_ids) + growing.flush()
    assert text == token_text.decode(token_ids)


def test_the_space_before_the_first_word_is_kept() -> None:
    token_text = TokenText(metaspace_tokenizer())
    growing = detokenizer(token_text, [1])
    assert [growing.push(token_id).text for token_id in (2, 3)] == [" world", "!"]


@pytest.mark.parametrize(
    ("prompt", "output"),
    [
        (b"\xe2\x82", b"\xacbcd"),
        (b"\xe2\x82", b"\x82\xacb"),
        (b"\xc3", b"\xa9bcd"),
        (b"ab\xc3", b"\xff\xa9b"),
        (b"a", b"b" + b"\xff" * 7 + b"\xe2\x82\xacc\xff\xffd"),
        (b"a", b"\x82" * 23 + b"b"),
    ],
)
def test_an_output_after_half_a_character_is_decoded_on_its_own(
    prompt: bytes, output: bytes
) -> None:
    """Half a character at the end of the prompt used to be joined with the output's first bytes."""
    growing = detokenizer(TokenText(byte_tokenizer()), byte_ids(prompt))
    text, begins = "", []
    for token_id in byte_ids(output):
        piece = growing.push(token_id)
        begins.append(len(text) + piece.begin)
        text += piece.text
    assert text + growing.flush() == output.decode(errors="replace")
    for byte, begin in zip(output, begins, strict=True):
        if byte < 128:
            assert text[begin] == chr(byte)


@pytest.mark.parametrize(("skip", "text"), [(True, "a"), (False, "a<eos>")])
def test_special_tokens_are_shown_only_on_request(skip: bool, text: str) -> None:
    token_text = TokenText(byte_tokenizer())
    growing = detokenizer(token_text, [], skip=skip)
    assert (
        "".join(growing.push(token_id).text for token_id in [*token_text.encode("a"), EOS]) == text
    )


def test_a_space_after_a_skipped_token_is_kept() -> None:
    """The next token used to be decoded as the start of the text."""
    token_text = TokenText(stripping_tokenizer())
    token_ids = [1, 3, 1, 4, 1, 1, 3, 4]
    growing = detokenizer(token_text, [0])
    text = "".join(growing.push(token_id).text for token_id in token_ids) + growing.flush()
    assert text == token_text.decode(token_ids) == "b cat b cat"


def test_a_single_token_keeps_its_space() -> None:
    assert TokenText(metaspace_tokenizer()).of_token(2) == " world"
    assert TokenText(byte_tokenizer()).of_token(EOS) == "<eos>"


def test_replacement_characters_in_the_text_do_not_hold_it_back() -> None:
    """U+FFFD itself looks like half a character; such a text used to be held back until its end."""
    token_text = TokenText(byte_tokenizer())
    growing = detokenizer(token_text, [])
    token_ids = token_text.encode("\ufffd" * 20)
    assert "".join(growing.push(token_id).text for token_id in token_ids) == "\ufffd" * 20


def test_a_thought_keeps_its_first_space_with_a_metaspace_tokenizer() -> None:
    assert TokenText(metaspace_tokenizer()).of_piece([2, 3]) == " world!"


def test_a_lone_surrogate_is_rejected() -> None:
    with pytest.raises(RequestError, match="UTF-8"):
        TokenText(byte_tokenizer()).encode("a\ud800")
