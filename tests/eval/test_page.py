"""The page of shaded text: everything escaped, everything visible, nothing loaded."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qstar_eval.page import (
    MIN_MAX_GAIN,
    max_gain_of,
    shade,
    visible,
    write_page,
)
from qstar_eval.task import Record

CONTRAST = 4.5
"""Least ratio of luminances between text and what it stands on (WCAG AA)."""


class Page(HTMLParser):
    """What a browser makes of it: attributes and text of each token, and every tag's name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.tokens: list[dict[str, str | None]] = []
        self._is_in_token = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "span" and "data-base" in dict(attrs):
            self.tokens.append({**dict(attrs), "text": ""})
            self._is_in_token = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "span":
            self._is_in_token = False

    def handle_data(self, data: str) -> None:
        if self._is_in_token:
            self.tokens[-1]["text"] = f"{self.tokens[-1]['text']}{data}"


Token = tuple[str, float, str]
"""Text, gain and thought."""


def token(text: str, gain: float = 0.0, thought: str = "") -> Token:
    return text, gain, thought


def record_of(*tokens: Token) -> Record:
    """The fields of a record that a page shows."""
    return {
        "document": 0,
        "tokens": ["First", *(text for text, _, _ in tokens)],
        "base_losses": [2.0 for _ in tokens],
        "mixed_losses": [2.0 - gain for _, gain, _ in tokens],
        "mixing_weights": [0.25 for _ in tokens],
        "thoughts": [thought for _, _, thought in tokens],
    }


def page_of(tmp_path: Path, *tokens: Token, title: str = "title") -> str:
    path = tmp_path / "page.html"
    document = record_of(*tokens)
    write_page([document], path, title=title, max_gain=max_gain_of([document]))
    return path.read_text(encoding="utf-8")


def test_a_token_has_its_shade_numbers_and_thought(tmp_path: Path) -> None:
    html = page_of(tmp_path, token(" helped", 1.0, " hmm"), token(" hurt", -0.5), token("same"))
    helped, hurt, same = Page(html).tokens
    assert (helped["text"], helped["class"], helped["data-thought"]) == (" helped", "p4", " hmm")
    assert (helped["data-base"], helped["data-mixed"]) == ("2.0000", "1.0000")
    assert helped["data-weight"] == "0.2500"
    assert hurt["class"] == "m4"
    assert "class" not in same


def test_nothing_in_the_text_becomes_markup(tmp_path: Path) -> None:
    attack = "\"><script>alert('$title')</script>&amp;"
    html = page_of(tmp_path, token(attack, thought=attack), title=attack)
    page = Page(html)
    assert page.tokens[0]["text"] == attack
    assert page.tokens[0]["data-thought"] == attack
    assert page.tags.count("script") == 1


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    html = page_of(tmp_path, token("a"))
    assert not re.search(r"\b(src|href|url|import)\b\s*[=(]|https?:|//[a-z]", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\u21b5\nb"),
        ("\r\n", "\u240d\u21b5\n"),
        ("\t", "\u21e5\t"),
        ("\x00\x1b", "<U+0000><U+001B>"),
        ("\ufffd", "\ufffd"),
        (b"\xc3".decode("utf-8", "surrogateescape"), "<C3>"),
        ("\ud800", "<U+D800>"),
        ("abc\u202edef", "abc<U+202E>def"),
        ("\u200d", "<U+200D>"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("\u2028", "<U+2028>"),
    ],
)
def test_what_cannot_be_seen_is_named(tmp_path: Path, text: str, shown: str) -> None:
    assert visible(text) == shown
    html = page_of(tmp_path, token(text, thought=text))
    assert Page(html).tokens[0]["text"] == shown


def test_a_token_without_text_can_be_pointed_at(tmp_path: Path) -> None:
    assert Page(page_of(tmp_path, token(""))).tokens[0]["text"] == "\u2205"


def test_documents_without_tokens_make_a_page(tmp_path: Path) -> None:
    assert "0 tokens" in page_of(tmp_path)


def test_extreme_tokens_do_not_wash_out_the_others() -> None:
    assert max_gain_of([of_gains([0.125] * 99), of_gains([50.0])]) == 0.125
    assert max_gain_of([]) == max_gain_of([of_gains([0.0, 1e-9])]) == MIN_MAX_GAIN


def test_pages_with_the_same_reach_shade_the_same_gain_alike(tmp_path: Path) -> None:
    """Each page had a scale of its own: two checkpoints could not be compared by eye."""
    weak, strong = of_gains([0.25] * 9), of_gains([1.0] * 90)
    shades = []
    for reach in (max_gain_of([weak]), max_gain_of([weak, strong])):
        write_page([weak], tmp_path / "page.html", title="weak", max_gain=reach)
        page = (tmp_path / "page.html").read_text()
        shades.append(set(re.findall(r'<span tabindex="-1" class="(\w+)"', page)))
    assert shades == [{"p4"}, {"p1"}]


def of_gains(gains: list[float]) -> Record:
    return record_of(*(token("a", gain) for gain in gains))


def test_shades_are_even_on_both_sides_and_stop_at_the_last() -> None:
    gains = [-9.0, -1.0, -0.5, -0.12, 0.0, 0.12, 0.5, 1.0, 9.0]
    want = ["m4", "m4", "m2", "", "", "", "p2", "p4", "p4"]
    assert [shade(gain, 1.0) for gain in gains] == want


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG defines it."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_is_readable_on_every_shade_in_both_modes(tmp_path: Path) -> None:
    html = page_of(tmp_path, token("a"))
    modes = re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)
    assert len(modes) == 2
    shades = [f"{side}{level}" for side in "pm" for level in range(1, 5)]
    for mode in modes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", mode))
        for name in ("paper", "card", *shades):
            pair = sorted([luminance(colours["ink"]), luminance(colours[name])])
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= CONTRAST, name
