"""Text and offsets of given tokens: half characters, stop strings, special tokens."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.output_processor import OutputProcessor
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import SampledToken
from qstar_infer.text.token_text import TokenText
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.wavefront import Verified

from ..parity.toy import EOS, byte_tokenizer, make_toy
from .step_driver import make_sequence

TOKEN_TEXT = TokenText(byte_tokenizer())


def processor(
    *, max_tokens: int = 100, show_thoughts: bool = True, **fields: Any
) -> OutputProcessor:
    eos = frozenset() if fields.get("ignore_eos") else frozenset({EOS})
    seq = make_sequence(
        TOKEN_TEXT.encode("Say: "),
        params=SamplingParams(**fields),
        max_tokens=max_tokens,
        eos_token_ids=eos,
    )
    return OutputProcessor(seq, TOKEN_TEXT, show_thoughts=show_thoughts)


def push(output: OutputProcessor, token_ids: Sequence[int]) -> CompletionOutput:
    """Add tokens and return the delta; the output must not end before the last token."""
    for count, token_id in enumerate(token_ids, 1):
        output.seq.wavefront.token_ids.append(token_id)
        lane = Lane(anchor=0, num_thought_tokens=2, thought=[token_id, token_id])
        has_ended = output.add(
            Verified(
                lane=lane,
                decision=SampledToken(token_id=token_id, logprob=-0.5),
                draft_id=token_id,
                is_draft_kept=True,
                dropped=[],
            )
        )
        assert has_ended == (count == len(token_ids) and output._delta.finish_reason is not None)
    delta = output.take_delta()
    assert delta is not None
    return delta


def byte_ids(raw: bytes) -> list[int]:
    """The token ids of these bytes. The ids of the tokenizer differ from the byte values."""
    return [BYTE_IDS[byte] for byte in raw]


def _byte_ids() -> list[int]:
    alphabet = byte_tokenizer().backend_tokenizer.get_vocab()
    # GPT-2's alphabet: printable bytes are themselves, the others are characters 256, 257, ...
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [alphabet[letters[byte]] for byte in range(256)]


BYTE_IDS = _byte_ids()


def character_of_each_byte(raw: bytes) -> list[int]:
    """Index of the character that each byte belongs to, with U+FFFD as decoders emit it."""
    return [len(raw[: end + 1].decode(errors="replace")) - 1 for end in range(len(raw))]


def test_all_tokens_of_a_character_have_its_offset() -> None:
    text = "na\u00efve \u65e5\u672c\u8a9e \U0001f9e0 fin"
    delta = push(processor(), byte_ids(text.encode()))
    assert delta.text == text
    sizes = [len(character.encode()) for character in text]
    assert delta.token_offsets == [i for i, size in enumerate(sizes) for _ in range(size)]


def test_bytes_of_no_character_have_offsets_too() -> None:
    """After a lone first byte, a word used to have the offset of that byte."""
    delta = push(processor(), byte_ids(b"a\xffb\xc3(\xc3\xc3\xa9\xf0\x9fz"))
    assert delta.text == "a\ufffdb\ufffd(\ufffd\u00e9\ufffdz"
    assert delta.token_offsets == [0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


@pytest.mark.parametrize("seed", range(40))
def test_offsets_of_random_bytes_split_the_text_correctly(seed: int) -> None:
    draw = random.Random(seed)
    raw = bytes(draw.choice(b"ab\xc3\xa9\xe2\x82\xac\xf0\x9f\xff") for _ in range(60)) + b"z"
    delta = push(processor(), byte_ids(raw))
    assert delta.text == raw.decode(errors="replace")
    assert delta.token_offsets == character_of_each_byte(raw)


def test_half_a_character_is_held_back_until_the_end() -> None:
    output = processor(max_tokens=3)
    assert push(output, byte_ids(b"a\xe2")).text == "a"
    last = push(output, byte_ids(b"\x82"))
    assert (last.text, last.token_offsets, last.finish_reason) == ("\ufffd", [1], "length")


def test_end_of_sequence_begins_after_half_a_character() -> None:
    delta = push(processor(), [*byte_ids(b"a\xe2\x82"), EOS])
    assert (delta.text, delta.token_offsets) == ("a\ufffd", [0, 1, 1, 2])
    assert (delta.finish_reason, delta.stop_reason) == ("stop", None)


@pytest.mark.parametrize(
    ("fields", "end", "text", "stop_reason"),
    [
        ({}, EOS, "ab", None),
        ({"skip_special_tokens": False}, EOS, "ab<eos>", None),
        ({"include_stop_str_in_output": True, "skip_special_tokens": False}, EOS, "ab<eos>", None),
        ({"stop_token_ids": (66,)}, 66, "ab", 66),
        ({"stop_token_ids": (66,), "skip_special_tokens": False}, 66, "ab", 66),
        ({"stop_token_ids": (66,), "include_stop_str_in_output": True}, 66, "abc", 66),
    ],
)
def test_the_token_that_ends_the_output_is_shown_only_on_request(
    fields: dict[str, Any], end: int, text: str, stop_reason: int | None
) -> None:
    assert TOKEN_TEXT.decode([66]) == "c"
    delta = push(processor(**fields), [*byte_ids(b"ab"), end])
    assert (delta.text, delta.token_offsets) == (text, [0, 1, 2])
    assert (delta.finish_reason, delta.stop_reason) == ("stop", stop_reason)


def test_special_tokens_have_offsets_whether_shown_or_not() -> None:
    token_ids = [*byte_ids(b"a"), EOS, *byte_ids(b"b")]
    hidden = push(processor(ignore_eos=True), token_ids)
    assert (hidden.text, hidden.token_offsets) == ("ab", [0, 1, 1])
    shown = push(processor(ignore_eos=True, skip_special_tokens=False), token_ids)
    assert (shown.text, shown.token_offsets) == ("a<eos>b", [0, 1, 6])


@pytest.mark.parametrize(("is_kept", "text"), [(False, "hi "), (True, "hi STOP")])
def test_tokens_of_a_stop_string_have_the_offsets_of_their_text(is_kept: bool, text: str) -> None:
    output = processor(stop="STOP", include_stop_str_in_output=is_kept)
    delta = push(output, byte_ids(b"hi STOP"))
    assert (delta.text, delta.token_offsets) == (text, [0, 1, 2, 3, 4, 5, 6])
    assert (delta.finish_reason, delta.stop_reason) == ("stop", "STOP")


def test_offsets_are_emitted_while_text_is_held_back_for_a_stop_string() -> None:
    output = processor(stop="STOP")
    first = push(output, byte_ids(b"a ST"))
    assert (first.text, first.token_offsets) == ("a ", [0, 1, 2, 3])
    second = push(output, byte_ids(b"x"))
    assert (second.text, second.token_offsets) == ("STx", [4])


def test_held_back_text_is_emitted_at_the_end() -> None:
    ended = push(processor(stop="STOP"), [*byte_ids(b"a ST"), EOS])
    assert (ended.text, ended.finish_reason) == ("a ST", "stop")
    full = push(processor(stop="STOP", max_tokens=4), byte_ids(b"a ST"))
    assert (full.text, full.finish_reason) == ("a ST", "length")


def test_stop_strings_are_ignored_below_min_tokens() -> None:
    output = processor(stop="b", min_tokens=3)
    delta = push(output, byte_ids(b"abab"))
    assert (delta.text, delta.token_offsets, delta.stop_reason) == ("aba", [0, 1, 2, 3], "b")


def test_hidden_thoughts_cannot_have_details() -> None:
    engine = LLMEngine(make_toy().model)
    asked: tuple[dict[str, Any], ...] = ({"thought_top_logprobs": 0}, {"show_passes": True})
    for fields in asked:
        params = SamplingParams(**fields)
        asking = EngineRequest(request_id="r", prompt_token_ids=[1], params=params)
        engine.admission.admit(asking)
        with pytest.raises(RequestError, match="does not show them") as caught:
            engine.admission.admit(replace(asking, show_thoughts=False))
        assert caught.value.param == next(iter(fields))


def test_counts_do_not_depend_on_show_thoughts() -> None:
    shown = push(processor(), byte_ids(b"abc"))
    hidden = push(processor(show_thoughts=False), byte_ids(b"abc"))
    assert [thought.thought for thought in shown.thoughts] == ["aa", "bb", "cc"]
    assert hidden.thoughts == []
    assert (hidden.num_thought_tokens, hidden.cumulative_logprob) == (6, -1.5)
    assert (shown.num_thought_tokens, shown.cumulative_logprob) == (6, -1.5)


def test_there_is_no_delta_without_new_output() -> None:
    output = processor()
    assert output.take_delta() is None
    push(output, byte_ids(b"a"))
    assert output.take_delta() is None
