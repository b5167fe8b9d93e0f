"""Segments contain the whole text, split at the offsets of the tokens."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_infer.cli.segments import Segment, SegmentStream
from qstar_infer.llm import LLM
from qstar_infer.outputs import CompletionOutput, Thought
from qstar_infer.sampling_params import SamplingParams

from ..parity.toy import EOS, make_toy

MakeThought = Callable[..., Thought]


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(model=make_toy().model)


def delta(text: str, offsets: list[int], thoughts: list[Thought]) -> CompletionOutput:
    return CompletionOutput(index=0, text=text, token_offsets=offsets, thoughts=thoughts)


def pieces(segments: list[Segment]) -> list[tuple[str, list[str]]]:
    return [(s.text, [thought.token for thought in s.thoughts]) for s in segments]


def test_token_is_complete_when_the_next_one_begins(make_thought: MakeThought) -> None:
    stream = SegmentStream()
    assert stream.push(delta("The", [0], [make_thought("The")])) == []
    assert pieces(stream.push(delta(" cat", [3], [make_thought(" cat")]))) == [("The", ["The"])]
    assert pieces(stream.finish()) == [(" cat", [" cat"])]
    assert stream.finish() == []


def test_tokens_of_one_character_are_one_segment(make_thought: MakeThought) -> None:
    halves = [make_thought("one half"), make_thought("the other")]
    stream = SegmentStream()
    assert stream.push(delta("", [0], halves[:1])) == []
    assert stream.push(delta("é", [0], halves[1:])) == []
    assert pieces(stream.push(delta("!", [1], [make_thought("!")]))) == [
        ("é", ["one half", "the other"])
    ]


def test_token_waits_for_text_that_the_engine_holds_back(make_thought: MakeThought) -> None:
    stream = SegmentStream()
    assert stream.push(delta(" wo", [0, 6], [make_thought(" world"), make_thought("!")])) == []
    assert pieces(stream.push(delta("rld!", [], []))) == [(" world", [" world"])]
    assert pieces(stream.finish()) == [("!", ["!"])]


def test_tokens_cut_off_by_a_stop_string_have_no_text(make_thought: MakeThought) -> None:
    stream = SegmentStream()
    thoughts = [make_thought("a"), make_thought(" bcd"), make_thought("e")]
    assert pieces(stream.push(delta("a b", [0, 1, 5], thoughts))) == [("a", ["a"])]
    assert pieces(stream.finish()) == [(" b", [" bcd"]), ("", ["e"])]


@given(st.data(), st.text("ab é\n", max_size=12), st.lists(st.integers(0, 14), max_size=8))
def test_no_text_and_no_token_is_lost(data: st.DataObject, text: str, begins: list[int]) -> None:
    """For any split of text and tokens into deltas, with or without text that is cut off."""
    offsets = [0, *sorted(begins)]
    thoughts = [
        Thought(
            token_id=number,
            token="",
            thought="",
            thought_token_ids=[],
            mixing_weight=0.0,
            logprob=0.0,
            base_logprob=0.0,
        )
        for number in range(len(offsets))
    ]
    stream = SegmentStream()
    segments: list[Segment] = []
    num_chars = num_tokens = 0
    while num_chars < len(text) or num_tokens < len(offsets):
        chars = data.draw(st.integers(num_chars, len(text)))
        tokens = data.draw(st.integers(num_tokens, len(offsets)))
        if (chars, tokens) == (num_chars, num_tokens):
            chars, tokens = len(text), len(offsets)
        new = slice(num_tokens, tokens)
        segments += stream.push(delta(text[num_chars:chars], offsets[new], thoughts[new]))
        num_chars, num_tokens = chars, tokens
    segments += stream.finish()
    assert "".join(s.text for s in segments) == text
    assert [t.token_id for s in segments for t in s.thoughts] == list(range(len(offsets)))


@pytest.mark.parametrize("seed", range(4))
def test_stream_of_the_real_engine(llm: LLM, seed: int) -> None:
    """Random bytes give whole and broken characters, and text held back for a stop string."""
    params = SamplingParams(
        max_tokens=40,
        seed=seed,
        temperature=2.0,
        stop=("no such text", " ab"),
        logit_bias={EOS: -100},  # a special token, whose text is omitted
    )
    stream = SegmentStream()
    segments: list[Segment] = []
    whole = CompletionOutput(index=0)
    for output in llm.stream("Pâté de ", params):
        (completion,) = output.outputs
        segments += stream.push(completion)
        whole.extend(completion)
    segments += stream.finish()
    assert "".join(segment.text for segment in segments) == whole.text
    assert [thought for segment in segments for thought in segment.thoughts] == whole.thoughts
    tokens = [[thought.token for thought in segment.thoughts] for segment in segments]
    plain = [index for index, each in enumerate(tokens[:-1]) if "".join(each).isascii()]
    assert plain
    assert [segments[index].text for index in plain] == ["".join(tokens[index]) for index in plain]
