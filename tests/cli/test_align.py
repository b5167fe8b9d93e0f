"""Segments carry the whole text, whatever the tokens look like on their own."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from qstar_infer.cli.align import Aligner, Segment
from qstar_infer.outputs import Thought

MakeThought = Callable[..., Thought]
HALF = "\N{REPLACEMENT CHARACTER}"


def pieces(segments: list[Segment]) -> list[tuple[str, list[str]]]:
    return [(s.text, [thought.token for thought in s.thoughts]) for s in segments]


def test_each_token_has_its_own_segment(make_thought: MakeThought) -> None:
    segments = Aligner().push("The cat", [make_thought("The"), make_thought(" cat")])
    assert pieces(segments) == [("The", ["The"]), (" cat", [" cat"])]


def test_character_split_over_tokens_is_one_segment(make_thought: MakeThought) -> None:
    aligner = Aligner()
    assert aligner.push("", [make_thought(HALF)]) == []
    segments = aligner.push("é", [make_thought(HALF)])
    assert pieces(segments) == [("é", [HALF, HALF])]
    assert pieces(aligner.push("!", [make_thought("!")])) == [("!", ["!"])]


def test_split_character_inside_one_delta(make_thought: MakeThought) -> None:
    thoughts = [make_thought(token) for token in ("a", HALF, HALF, "b")]
    assert pieces(Aligner().push("aéb", thoughts)) == [
        ("a", ["a"]),
        ("é", [HALF, HALF]),
        ("b", ["b"]),
    ]


def test_text_held_back_by_the_engine_waits_for_its_rest(make_thought: MakeThought) -> None:
    aligner = Aligner()
    assert aligner.push(" wo", [make_thought(" world")]) == []
    assert pieces(aligner.push("rld", [])) == [(" world", [" world"])]


def test_special_token_left_out_of_the_text_gets_no_text(make_thought: MakeThought) -> None:
    aligner = Aligner()
    segments = aligner.push("Hi!", [make_thought(t) for t in ("Hi", "<special>", "!", "<end>")])
    assert pieces(segments) == [("Hi", ["Hi"]), ("", ["<special>"]), ("!", ["!"])]
    assert pieces(aligner.finish()) == [("", ["<end>"])]


def test_dropped_leading_space_does_not_lose_the_token(make_thought: MakeThought) -> None:
    aligner = Aligner()
    segments = aligner.push("Hi you", [make_thought(" Hi"), make_thought(" you")])
    assert pieces(segments) == [("Hi", [" Hi"]), (" you", [" you"])]


def test_stop_string_cuts_the_last_token(make_thought: MakeThought) -> None:
    aligner = Aligner()
    assert pieces(aligner.push("a b", [make_thought("a"), make_thought(" bcd")])) == [("a", ["a"])]
    assert pieces(aligner.finish()) == [(" b", [" bcd"])]


@given(
    st.lists(
        st.tuples(st.text("ab é\n", max_size=3), st.sampled_from(["a", "ab", " ", "", HALF, "x"])),
        max_size=12,
    )
)
def test_no_text_and_no_token_is_ever_lost(deltas: list[tuple[str, str]]) -> None:
    aligner = Aligner()
    segments = []
    for text, token in deltas:
        thought = Thought(
            token_id=0,
            token=token,
            thought="",
            thought_token_ids=[],
            mixing_weight=0.0,
            logprob=0.0,
            base_logprob=0.0,
        )
        segments += aligner.push(text, [thought])
    segments += aligner.finish()
    assert "".join(s.text for s in segments) == "".join(text for text, _ in deltas)
    assert [t.token for s in segments for t in s.thoughts] == [token for _, token in deltas]
