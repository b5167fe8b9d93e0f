"""Both views of thoughts: what they show, and that no text of a model can do anything there."""

import re
import time
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from qstar_client import ChatCompletion, Completion, Response, Thought, ThoughtsView, printable
from qstar_client.terminal import thoughts_view

from .answers import CHAT, RESPONSE, thought
from .conftest import COMPLETION

HOSTILE = [
    "</span><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='position:fixed",
    "&lt;b&gt; &amp;",
    "[bold red]x[/] [link=http://evil.test]y",
]
CONTROLS = ["\x1b[2J", "\x1b]0;title\x07", "\x9b1m", "\x7f", "\u202e", "\u2028", "\x00", "\r"]


class Page(HTMLParser):
    """Reads HTML like a browser: elements, attributes, and the text of each token and its card."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.cards: list[list[str]] = []
        self.other = ""
        self._inside = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "summary":
            self.tokens.append("")
            self.cards.append([])
        if tag in ("summary", "style"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("summary", "style", "details"):
            self._inside = "card" if tag == "summary" else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "summary":
            self.tokens[-1] += data
        elif self._inside == "card":
            self.cards[-1].append(data)
        elif not self._inside:
            self.other += data

    def values(self, name: str) -> list[str]:
        """The values of an attribute, in the order of the page."""
        return [value for each, value in self.attributes if each == name]


def completion(*thoughts: dict[str, object]) -> Completion:
    choice = {"index": 0, "text": "", "thoughts": list(thoughts)}
    return Completion.model_validate({**COMPLETION, "choices": [choice]})


def page(answer: Completion | ChatCompletion | Response | ThoughtsView) -> Page:
    source = answer._repr_html_()
    assert source is not None
    return Page(source)


def terminal(thoughts: list[Thought] | None, *, width: int = 100, colours: bool = False) -> str:
    output = StringIO()
    console = Console(
        file=output,
        width=width,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
    )
    console.print(thoughts_view(thoughts or []))
    return output.getvalue()


def test_html_shows_each_token_with_its_thought_and_numbers() -> None:
    silent = {**thought(".", "", 0.0), "thought_token_ids": []}
    shown = page(completion(thought(" 4", " two pairs", 0.5), silent))
    assert shown.tokens == [" 4", "."]
    assert shown.cards == [
        [
            *("Thought of 2 tokens: ", " two pairs", "weight", "0.50"),
            *("with the thought", "60.7 % ", "-0.50", "without it", "22.3 % ", "-1.50"),
            *("change", "+1.00 nats"),
        ],
        ["No thought before this token.", "probability", "60.7 % ", "-0.50"],
    ]


def test_html_shows_alternatives_and_passes() -> None:
    one, other = (
        {"token": token, "token_id": index, "logprob": logprob}
        for index, (token, logprob) in enumerate([(" 4", -0.5), (" 5", -20.0)])
    )
    details = {
        "token_id": 0,
        "top_logprobs": [one, other],
        "base_top_logprobs": [other],
        "passes": {
            **{"first": 3, "last": 6},
            "draft": {"token": " 5", "token_id": 1, "is_fed": True, "is_kept": False},
            "dropped": [{"token": " 5", "first": 4, "last": 6}],
        },
    }
    shown = page(completion({**thought(" 4"), **details}))
    text = "".join(shown.cards[0])
    assert "choice without it 5" in text
    assert "Most likely with the thought 4 60.7 % 5 <0.1 %Most likely without it 5 <0.1 %" in text
    assert text.endswith(
        "Begun in pass 3, decided in pass 6. Draft  5: fed, wrong. "
        "Thoughts dropped after  5 (passes 4 to 6)."
    )
    assert [style for style in shown.values("style") if "--p" in style] == [
        *("--p:60.7%", "--p:0.0%", "--p:0.0%"),
    ]
    assert shown.tags.count("b") == 1


def test_small_numbers_have_no_sign() -> None:
    """A weight may be a little below 0."""
    entry = {**thought("x", "y", -0.001), "logprob": -0.0031, "base_logprob": -0.0012}
    shown = page(completion(entry))
    assert shown.cards[0][3::2] == ["0.00", "99.7 % ", "without it", "0.00", "+0.00 nats"]
    assert "-0.00" not in terminal(completion(entry).choices[0].thoughts)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
def test_views_survive_numbers_that_no_model_computed(number: float) -> None:
    entry = {**thought("x"), "mixing_weight": number, "logprob": number, "base_logprob": -number}
    shown = page(completion(entry))
    assert shown.cards[0][3] == "?"
    assert "?" in terminal(completion(entry).choices[0].thoughts)


def test_html_colours_by_mixing_weight_and_by_change() -> None:
    weights = [0.0, 0.3, 0.6, 1.0, 7.0, -1.0, float("nan")]
    source = completion(*(thought("x", weight=weight) for weight in weights))._repr_html_() or ""
    tokens = re.findall(r"<details[^>]*>", source)
    alphas = [re.search(r"background-color:rgba\(240,140,0,(.+?)\)", token) for token in tokens]
    assert [found[1] if found else None for found in alphas] == [
        *(None, "0.17", "0.33", "0.55", "0.55", None, None),
    ]
    assert all("--change:rgba(0,114,178,0.18)" in token for token in tokens)


def test_html_leaves_the_page_its_own_colours() -> None:
    """So that it can be read in a dark and in a light theme: no colour of text, none opaque."""
    source = completion(thought("x", weight=1.0))._repr_html_() or ""
    assert not re.search(r"[;{\s\"]color:(?! inherit;)", source)
    for colour in re.findall(r"rgba?\([^)]*\)", source):
        assert float(colour.rstrip(")").split(",")[3]) <= 0.55
    assert not re.search(r"#[0-9a-f]{3}|@import|url\(", source)


@pytest.mark.parametrize("text", HOSTILE)
def test_html_escapes_every_text(text: str) -> None:
    plain = page(completion(thought("x", "x")))
    shown = page(completion(thought(text, text)))
    assert shown.tags == plain.tags
    assert [name for name, _ in shown.attributes] == [name for name, _ in plain.attributes]
    assert set(shown.tags) <= {
        *("style", "div", "span", "label", "input", "details", "summary"),
        *("p", "code", "dl", "dt", "dd", "small"),
    }
    assert {name for name, _ in shown.attributes} <= {"class", "type", "hidden", "name", "style"}
    assert shown.tokens == [text]
    assert shown.cards[0][1] == text
    assert shown.other == plain.other


def test_html_shows_what_could_not_be_seen_or_pointed_at() -> None:
    shown = page(completion(thought("\n", "a\r\n\tb"), thought("", ""), thought("  ", " ")))
    assert shown.tokens == ["↵\n", "∅", "  "]
    assert [card[1] for card in shown.cards] == ["a↵↵⇥b", "∅", "␣"]
    assert shown.values("aria-label") == ["space"]


def test_a_notebook_takes_no_text_for_mathematics() -> None:
    """MathJax, which notebooks have, skips elements of these classes."""
    shown = page(completion(thought("$x$", "$$x$$")))
    assert "qstar-thoughts tex2jax_ignore mathjax_ignore" in shown.values("class")


@pytest.mark.parametrize("text", CONTROLS, ids=ascii)
def test_no_view_contains_control_characters(text: str) -> None:
    answer = completion(thought(text, text))
    source = answer._repr_html_() or ""
    shown = terminal(answer.choices[0].thoughts)
    for view in (source, shown):
        assert not any(sign in view for sign in text if not sign.isprintable())


def test_a_notebook_shows_answers_without_thoughts_in_its_usual_way() -> None:
    plain = Completion.model_validate(COMPLETION)
    assert plain._repr_html_() is None
    assert plain.choices[0]._repr_html_() is None
    assert Response.model_validate({**RESPONSE, "thoughts": None})._repr_html_() is None


def test_all_kinds_of_answers_show_themselves() -> None:
    chat = ChatCompletion.model_validate(CHAT)
    assert page(chat).tokens == ["2", "+", "2é"]
    assert chat.choices[0]._repr_html_() == chat._repr_html_()
    response = Response.model_validate(RESPONSE)
    assert page(response).tokens == [" 4", "."]
    assert page(ThoughtsView((response.thoughts or [])[1:])).tokens == ["."]


def test_html_names_choices_and_keeps_them_apart() -> None:
    texts = [[thought("x")] * 3, [thought("y")]]
    choices = [{"index": i, "text": "", "thoughts": each} for i, each in enumerate(texts)]
    shown = page(Completion.model_validate({**COMPLETION, "choices": choices}))
    assert re.findall(r"Choice (\d)(\d) tokens?;", shown.other) == [("0", "3"), ("1", "1")]
    groups = shown.values("name")
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert all(re.fullmatch("[a-z0-9-]+", group) for group in groups)


def test_a_long_answer_is_neither_slow_nor_large() -> None:
    answer = completion(*(thought(f" token{i}", " of the thought", 0.5) for i in range(2000)))
    start = time.perf_counter()
    source = answer._repr_html_() or ""
    assert time.perf_counter() - start < 0.5
    assert len(source) < 1_500_000


def test_terminal_shows_each_token_with_its_thought_and_numbers() -> None:
    thoughts = completion(thought(" 4", " two\npairs", 0.5), thought(".", "")).choices[0].thoughts
    lines = [line.split() for line in terminal(thoughts).splitlines() if line.strip()]
    assert lines == [
        ["4."],
        ["token", "thought", "weight", "base", "mixed", "change"],
        ["4", "two↵pairs", "0.50", "-1.50", "-0.50", "+1.00"],
        [".", "0.25", "-1.50", "-0.50", "+1.00"],
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_terminal_shows_markup_as_text(text: str) -> None:
    thoughts = completion(thought(text, text)).choices[0].thoughts
    shown = terminal(thoughts, width=200)
    assert shown.count(text) == 3


def test_terminal_colours_by_mixing_weight() -> None:
    thoughts = completion(thought("a", weight=0.0), thought("b", weight=1.0)).choices[0].thoughts
    text = terminal(thoughts, colours=True).splitlines()[0]
    assert text == "a\x1b[30;48;2;255;130;0mb\x1b[0m"


def test_terminal_takes_any_answer_with_thoughts() -> None:
    choice = ChatCompletion.model_validate(CHAT).choices[0]
    for answer in (choice, Response.model_validate(RESPONSE), choice.thoughts or []):
        assert thoughts_view(answer).renderables
    with pytest.raises(ValueError, match="show_thoughts=True"):
        thoughts_view(Completion.model_validate(COMPLETION).choices[0])


def test_a_narrow_terminal_shows_the_whole_thought() -> None:
    words = " ".join(f"word{i}" for i in range(20))
    thoughts = completion(thought("x", words)).choices[0].thoughts
    shown = terminal(thoughts, width=48)
    assert all(len(line) <= 48 for line in shown.splitlines())
    assert all(f"word{i}" in shown for i in range(20))


def test_printable_keeps_what_is_harmless() -> None:
    text = "漢字 🙂 👩\u200d👩 é\n\tx"
    assert printable(text) == text
    assert printable("\x1b\x7f\x9b\u202e\ud800\U000e0041") == "␛␡\\x9b\\u202e\\ud800\\U000e0041"
