"""Rendering in a terminal: text, dimmed thoughts, and mixing weights as shades."""

from collections.abc import Callable

import pytest
from rich.color import Color
from rich.text import Text

from qstar_infer.cli.render import (
    COLOUR,
    GREY,
    THOUGHT_STYLE,
    legend,
    plain_segments,
    render_segment,
    render_segments,
    weight_style,
)
from qstar_infer.cli.segments import Segment
from qstar_infer.outputs import Thought

MakeThought = Callable[..., Thought]


def segment(*thoughts: Thought, text: str | None = None) -> Segment:
    if text is None:
        text = "".join(thought.token for thought in thoughts)
    return Segment(text=text, thoughts=thoughts)


def styled(text: Text, part: str) -> object:
    """The style of the span that covers exactly `part`."""
    return next(s.style for s in text.spans if text.plain[s.start : s.end] == part)


def test_thought_is_shown_dimmed_next_to_its_token(make_thought: MakeThought) -> None:
    text = render_segments([segment(make_thought("Paris", "the capital", 0.5))])
    assert text.plain == "Paris⟨the capital⟩"
    assert styled(text, "⟨the capital⟩") == THOUGHT_STYLE


def test_removing_the_thoughts_gives_the_text(make_thought: MakeThought) -> None:
    thoughts = [make_thought("a\n\n", "b c", 0.5), make_thought("", "d", 0.5), make_thought(" é")]
    text = render_segments([segment(thought) for thought in thoughts])
    visible = text.plain
    for thought in ("⟨b c⟩", "⟨d⟩"):
        visible = visible.replace(thought, "")
    assert visible == "a\n\n é"


def test_line_break_comes_after_the_thought(make_thought: MakeThought) -> None:
    text = render_segment(segment(make_thought("end.\n", "stop here", 0.5)))
    assert text.plain == "end.⟨stop here⟩\n"


def test_thought_is_on_one_line_without_control_characters(
    make_thought: MakeThought,
) -> None:
    text = render_segment(segment(make_thought("a", "x\n\ty\x1b[2J", 0.5)))
    assert text.plain == "a⟨x↵⇥y␛[2J⟩"


def test_token_without_a_thought_is_plain(make_thought: MakeThought) -> None:
    text = render_segment(segment(make_thought(" is")))
    assert text.plain == " is"
    assert not [span for span in text.spans if span.style]


def test_among_tokens_without_thoughts_only_the_others_are_marked(
    make_thought: MakeThought,
) -> None:
    """A model that thinks behind "?" alone."""
    thoughts = [make_thought("2*3"), make_thought("?"), make_thought("6", "6 6", 0.5)]
    text = render_segments([segment(each) for each in thoughts])
    assert text.plain == "2*3?6⟨6 6⟩"
    shaded = [text.plain[s.start : s.end] for s in text.spans if s.style]
    assert shaded == ["6", "⟨6 6⟩"]
    assert plain_segments([segment(each) for each in thoughts]) == "2*3?6⟨6 6⟩"


def test_tokens_of_a_split_character_show_both_thoughts(make_thought: MakeThought) -> None:
    halves = (make_thought("\ufffd", "one", 0.0), make_thought("\ufffd", "two", 1.0))
    text = render_segment(segment(*halves, text="é"))
    assert text.plain == "é⟨one⟩⟨two⟩"
    assert styled(text, "é") == weight_style(1.0)


@pytest.mark.parametrize(
    ("weight", "rgb"),
    [(0.0, GREY), (1.0, COLOUR), (-0.5, GREY), (1.5, COLOUR), (0.5, (109, 64, 129))],
)
def test_weight_sets_the_shade_between_grey_and_colour(
    weight: float, rgb: tuple[int, int, int]
) -> None:
    assert weight_style(weight).bgcolor == Color.from_rgb(*rgb)


def test_legend_is_one_line_with_both_ends_of_the_scale() -> None:
    assert "\n" not in legend().plain
    assert " 0 " in legend().plain
    assert " 1 " in legend().plain
