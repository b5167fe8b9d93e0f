"""The pieces of an output join to its text, and never contain half a character."""

import random
from functools import partial

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_infer.errors import RequestError
from qstar_infer.text.detokenizer import IncrementalDetokenizer
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, byte_tokenizer

TEXT = "na\u00efve \u65e5\u672c\u8a9e \U0001f9e0 fin\n"


def detokenizer(
    token_text: TokenText, prompt: list[int], *, skip: bool = True
) -> IncrementalDetokenizer:
    return IncrementalDetokenizer(partial(token_text.decode, skip_special_tokens=skip), prompt)


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


def test_half_a_character_at_the_end_of_the_prompt_is_ignored() -> None:
    token_text = TokenText(byte_tokenizer())
    first, second = token_text.encode("\u00e9")
    growing = detokenizer(token_text, [first])
    assert growing.push(token_text.encode("a")[0]).text == "a"
    growing = detokenizer(token_text, [first])
    assert growing.push(second).text + growing.flush() == "\ufffd"


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
    pieces = [growing.push(token_id).text for token_id in token_ids]
    assert len("".join(pieces)) >= 17
    assert "".join(pieces) + growing.flush() == "\ufffd" * 20


def test_a_thought_keeps_its_first_space_with_a_metaspace_tokenizer() -> None:
    assert TokenText(metaspace_tokenizer()).of_piece([2, 3]) == " world!"


def test_a_lone_surrogate_is_rejected() -> None:
    with pytest.raises(RequestError, match="UTF-8"):
        TokenText(byte_tokenizer()).encode("a\ud800")
