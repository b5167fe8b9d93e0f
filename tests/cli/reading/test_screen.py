"""The screen: what is on it, that it fits, and that no text of a model is an escape sequence."""

import pytest
from prompt_toolkit.utils import get_cwidth

from qstar_infer.cli.reading.card import card_lines, percent
from qstar_infer.cli.reading.page import pages_of
from qstar_infer.cli.reading.reader import Reader
from qstar_infer.cli.reading.screen import StyledLine, draw
from qstar_infer.cli.shade import DARK, LIGHT, Palette
from qstar_infer.outputs import Draft, DroppedThought, LikelyToken, Passes
from qstar_infer.saved_run import SavedRun

from .conftest import run_of, thought_of


def text_of(lines: list[StyledLine]) -> list[str]:
    return ["".join(text for _, text in line).rstrip() for line in lines]


def style_of(lines: list[StyledLine], text: str) -> str:
    return next(style for line in lines for style, part in line if part == text)


def test_the_thought_stands_under_the_line_of_its_token(story: SavedRun) -> None:
    reader = Reader(pages_of([story]))
    reader.move(1)
    assert text_of(draw(reader, DARK, 40, 12)) == [
        "token 2 of 5 · m · shaded by weight",
        "Say",
        "Paris is not big.↵",
        "     ▲",
        "│ ⟨was␛[2J⟩",
        '│ " is" · weight 1.00',
        "│ with the thought 60.7 %",
        "│ without it 36.8 % · change +0.50 nats",
        "日本",
        "",
        "",
        "q leave · ←→↑↓ token · n/p most changed",
    ]


def test_a_narrow_screen_has_the_same_words(story: SavedRun) -> None:
    shown = text_of(draw(Reader(pages_of([story])), DARK, 20, 30))
    assert all(get_cwidth(line) <= 20 for line in shown)
    words = " ".join(line.removeprefix("│ ") for line in shown).split()
    assert '│ " the"      60.7 %' in shown
    for word in ("⟨a", "city⟩", "weight", "0.50", "90.5", "36.8", "+0.90", '"', 'the"', "60.7"):
        assert word in words, word


@pytest.mark.parametrize("width", [1, 2, 5, 11, 20, 71, 72, 200])
@pytest.mark.parametrize("height", [1, 4, 5, 8, 30])
def test_every_size_is_filled_and_never_crossed(story: SavedRun, width: int, height: int) -> None:
    reader = Reader(pages_of([story, story]))
    for token in range(5):
        reader.token = token
        lines = text_of(draw(reader, DARK, width, height))
        assert len(lines) <= height
        if width > 1:  # a character of two columns does not fit
            assert all(get_cwidth(line) <= width for line in lines)


@pytest.mark.parametrize("height", [6, 10, 24])
def test_the_cursor_is_always_on_the_screen(height: int) -> None:
    run = run_of([thought_of(f" word{number}", "thought") for number in range(300)])
    reader = Reader(pages_of([run]))
    for target in (0, 299, 150, 149, 10, 290):
        reader.token = target
        lines = draw(reader, DARK, 40, height)
        assert "reverse" in style_of(lines, f" word{target}")
        assert any("▲" in text for text in text_of(lines))


def test_shades_follow_the_choice_of_the_reader(story: SavedRun) -> None:
    reader = Reader(pages_of([story]))
    lines = draw(reader, DARK, 40, 20)
    assert style_of(lines, " is") == "bg:#8f580b fg:#f0f0f0"  # the colour of a weight of 1
    assert style_of(lines, " not") == ""
    assert style_of(lines, "日本") == ""  # a weight of 0
    reader.shading = "change"
    lines = draw(reader, DARK, 40, 20)
    assert style_of(lines, " big.↵") == "bg:#803e0b fg:#f0f0f0"  # 3 nats less: red-brown
    assert style_of(lines, " is") == "bg:#162026 fg:#f0f0f0"  # half a nat more: blue
    assert "fg:#141414" in style_of(draw(reader, LIGHT, 40, 20), " is")


def test_with_few_colours_they_are_plain_ones(story: SavedRun) -> None:
    lines = draw(Reader(pages_of([story])), Palette(colours="basic"), 40, 20)
    assert style_of(lines, " is") == "bg:ansiyellow fg:ansiblack"


def test_without_colours_half_a_shade_is_an_underline(story: SavedRun) -> None:
    reader = Reader(pages_of([story]))
    reader.go_to_end()
    lines = draw(reader, Palette(colours="none"), 40, 20)
    assert style_of(lines, " is") == "underline"
    assert style_of(lines, " big.↵") == ""
    assert "reverse" in style_of(lines, "日本")
    assert not [style for line in lines for style, _ in line if "#" in style or "ansi" in style]


def test_a_long_prompt_is_cut_at_its_begin() -> None:
    request = {"prompt": "\n".join(f"line {number}" for number in range(9))}
    lines = draw(Reader(pages_of([run_of([thought_of("x")], request=request)])), DARK, 40, 20)
    assert text_of(lines)[1:5] == ["…", "line 7", "line 8", "x"]


def test_a_run_without_thoughts_says_so() -> None:
    lines = draw(Reader(pages_of([run_of([], text="only\ntext")])), DARK, 40, 8)
    assert text_of(lines)[1:5] == ["Say", "only↵", "text", "(no thoughts were saved)"]


def test_nothing_of_a_file_controls_the_terminal() -> None:
    evil = "\x1b[2J\x9b\u202e\r\b"
    tops = [LikelyToken(token=evil, token_id=1, logprob=-1.0)]
    thought = thought_of(evil, evil, top_logprobs=tops, base_top_logprobs=tops)
    run = run_of([thought], request={"prompt": evil})
    fields = {name: getattr(run, name) for name in SavedRun.__slots__}
    run = SavedRun(**fields | {"model": evil + "\n"})
    for width in (20, 100):
        for line in draw(Reader(pages_of([run])), DARK, width, 30):
            assert all(text.isprintable() for _, text in line), line


def test_alternatives_stand_side_by_side_where_there_is_room() -> None:
    thought = thought_of(
        "a",
        "t",
        top_logprobs=[LikelyToken(token="a", token_id=1, logprob=-0.6931472)],
        base_top_logprobs=[
            LikelyToken(token="a very long token indeed", token_id=2, logprob=-0.1053605),
            LikelyToken(token="日", token_id=3, logprob=-9.0),
        ],
    )
    wide = [line.text for line in card_lines(thought, 80)]
    assert wide[-3:] == [
        "with the thought                    without",
        '"a"             50.0 % █████        "a very long …  90.0 % █████████',
        '                                    "日"            <0.1 %',
    ]
    narrow = [line.text for line in card_lines(thought, 40)]
    assert narrow[-5:] == [
        "with the thought",
        '"a"             50.0 % █████',
        "without",
        '"a very long …  90.0 % █████████',
        '"日"            <0.1 %',
    ]


def test_a_token_without_a_thought_says_so_and_shows_one_list() -> None:
    tops = [LikelyToken(token="a", token_id=1, logprob=0.0)]
    lines = card_lines(thought_of("a", top_logprobs=tops, base_top_logprobs=tops), 80)
    assert [line.text for line in lines] == [
        '"a" · no thought here · probability 36.8 %',
        '"a"            100.0 % ██████████',
    ]


def test_passes_are_told_if_the_file_has_them() -> None:
    draft = Draft(token=" b\x1b", token_id=2, is_fed=True, is_kept=False)
    dropped = [DroppedThought(token=" b\x1b", first=4, last=5)]
    passes = Passes(first=3, last=5, draft=draft, dropped=dropped)
    shown = " ".join(line.text for line in card_lines(thought_of("a", "t", passes=passes), 300))
    assert shown.endswith('· passes 3 to 5 · draft " b␛" fed, wrong · thoughts dropped after " b␛"')
    kept = Draft(token="a", token_id=1, is_fed=False, is_kept=True)
    at_once = Passes(first=6, last=6, draft=kept, dropped=[])
    (line,) = card_lines(thought_of("a", passes=at_once), 300)
    assert line.text == '"a" · no thought here · probability 36.8 % · pass 6'


@pytest.mark.parametrize(
    ("logprob", "text"), [(0.0, "100.0 %"), (-0.5, "60.7 %"), (-7.0, "<0.1 %"), (-9999.0, "<0.1 %")]
)
def test_probabilities(logprob: float, text: str) -> None:
    assert percent(logprob) == text
