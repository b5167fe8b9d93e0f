"""Rendering in a terminal: text, dimmed thoughts, and mixing weights as shades."""

from collections.abc import Callable
from typing import Any

import pytest
from rich.color import Color
from rich.console import Console
from rich.text import Text

from qstar_infer.cli.render import (
    THOUGHT_STYLE,
    legend,
    plain_segments,
    render_segments,
    shaded_segments,
    style_of,
)
from qstar_infer.cli.segments import Segment
from qstar_infer.cli.shade import (
    BLUE,
    DARK,
    LIGHT,
    ORANGE,
    RED_BROWN,
    Palette,
    Shade,
    palette_of,
    weight_shade,
)
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
    text = render_segments([segment(make_thought("end.\n", "stop here", 0.5))])
    assert text.plain == "end.⟨stop here⟩\n"


def test_thought_is_on_one_line_without_control_characters(
    make_thought: MakeThought,
) -> None:
    text = render_segments([segment(make_thought("a", "x\n\ty\x1b[2J", 0.5))])
    assert text.plain == "a⟨x↵⇥y␛[2J⟩"


def test_token_without_a_thought_is_plain(make_thought: MakeThought) -> None:
    text = render_segments([segment(make_thought(" is"))])
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
    text = render_segments([segment(*halves, text="é")])
    assert text.plain == "é⟨one⟩⟨two⟩"
    assert styled(text, "é") == style_of(weight_shade(1.0), DARK)


def test_without_thoughts_only_shades_are_left(make_thought: MakeThought) -> None:
    thoughts = [make_thought("Paris", "the capital", 0.5), make_thought(" is\x1b")]
    text = shaded_segments([segment(each) for each in thoughts])
    assert text.plain == "Paris is␛"
    assert [text.plain[s.start : s.end] for s in text.spans if s.style] == ["Paris"]


@pytest.mark.parametrize(
    ("weight", "rgb"),
    [(1.0, (143, 88, 11)), (1.5, (143, 88, 11)), (0.5, (83, 56, 17))],
)
def test_weight_is_orange_mixed_with_the_ground(weight: float, rgb: tuple[int, int, int]) -> None:
    """240, 140, 0 with opacity 0.55 times the weight, over 24, 24, 24; computed by hand."""
    assert style_of(weight_shade(weight), DARK).bgcolor == Color.from_rgb(*rgb)


@pytest.mark.parametrize(
    ("shade", "style"),
    [
        (Shade(ORANGE, 0.24), ""),
        (Shade(ORANGE, 0.25), "black on yellow"),
        (Shade(BLUE, 1.0), "white on blue"),
        (Shade(RED_BROWN, 1.0), "white on red"),
    ],
)
def test_with_few_colours_none_is_mixed(shade: Shade, style: str) -> None:
    """A terminal's nearest of 16 colours to a dark orange is red or grey."""
    assert str(style_of(shade, Palette(colours="basic"))) == (style or "none")


@pytest.mark.parametrize(
    ("environ", "settings", "palette"),
    [
        ({}, {"color_system": "truecolor"}, DARK),
        ({"COLORFGBG": "0;15"}, {"color_system": "256"}, LIGHT),
        ({"COLORFGBG": "15;default;0"}, {"color_system": "256"}, DARK),
        ({"COLORFGBG": "0;15"}, {"color_system": "standard"}, Palette(colours="basic")),
        ({}, {"color_system": "truecolor", "no_color": True}, Palette(colours="none")),
        ({}, {"color_system": None}, Palette(colours="none")),
    ],
)
def test_the_palette_follows_the_terminal(
    environ: dict[str, str], settings: dict[str, Any], palette: Palette
) -> None:
    assert palette_of(Console(force_terminal=True, **settings), environ) == palette


@pytest.mark.parametrize("weight", [0.0, -0.5])
def test_no_weight_is_no_colour(weight: float) -> None:
    assert not style_of(weight_shade(weight), DARK)


@pytest.mark.parametrize(("weight", "is_underlined"), [(0.49, False), (0.5, True)])
def test_without_colours_half_a_weight_is_an_underline(weight: float, is_underlined: bool) -> None:
    style = style_of(weight_shade(weight), Palette(colours="none"))
    assert (style.bgcolor, style.underline or False) == (None, is_underlined)


def test_legend_is_one_line_with_both_ends_of_the_scale() -> None:
    assert "\n" not in legend().plain
    assert " 0 " in legend().plain
    assert " 1" in legend().plain
    assert "⟨thought⟩" in legend().plain
    assert "⟨" not in legend(has_thoughts=False).plain


def test_legend_without_colours_says_what_is_underlined() -> None:
    assert "underlined" in legend(Palette(colours="none")).plain
