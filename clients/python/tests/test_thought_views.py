"""Both views of thoughts: what they show, and that no text of a model can do anything there."""

import re
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from qstar_client import ChatCompletion, Completion, Response, Thought, printable
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
    """Reads HTML like a browser: elements, attributes and visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def completion(*thoughts: dict[str, object]) -> Completion:
    choice = {"index": 0, "text": "", "thoughts": list(thoughts)}
    return Completion.model_validate({**COMPLETION, "choices": [choice]})


def page(answer: Completion | ChatCompletion | Response) -> Page:
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
    shown = page(completion(thought(" 4", " two pairs", 0.5), thought(".", "", 0.0)))
    assert shown.rows == [
        ["token", "thought", "weight", "base", "mixed", "change"],
        [" 4", " two pairs", "0.50", "-1.50", "-0.50", "+1.00"],
        [".", "", "0.00", "-1.50", "-0.50", "+1.00"],
    ]
    assert shown.text.startswith(" 4.")


def test_small_numbers_have_no_sign() -> None:
    """A weight may be a little below 0."""
    entry = {**thought("x", "y", -0.001), "logprob": -0.0031, "base_logprob": -0.0012}
    shown = page(completion(entry))
    assert shown.rows[1][2:] == ["0.00", "0.00", "0.00", "+0.00"]
    assert "-0.00" not in terminal(completion(entry).choices[0].thoughts)


def test_html_colours_by_mixing_weight() -> None:
    weights = [0.0, 0.3, 0.6, 1.0, 7.0, -1.0, float("nan")]
    shown = page(completion(*(thought("x", weight=weight) for weight in weights)))
    styles = [value for name, value in shown.attributes if name == "style"]
    alphas = [float(match[1]) for s in styles if (match := re.search(r"rgba\(240,140,0,(.+)\)", s))]
    in_text = alphas[: len(weights)]
    assert in_text == alphas[len(weights) :]
    assert in_text[0] == 0.0 < in_text[1] < in_text[2] < in_text[3]
    assert in_text[4:] == [in_text[3], 0.0, 0.0]


def test_html_leaves_the_page_its_own_colours() -> None:
    """So that it can be read in a dark and in a light theme: no colour of text, none opaque."""
    shown = page(completion(thought("x", weight=1.0)))
    for name, value in shown.attributes:
        if name == "style":
            assert not re.search(r"(^|;)color:", value)
            for colour in re.findall(r"rgba?\([^)]*\)", value):
                assert float(colour.rstrip(")").split(",")[3]) <= 0.55


@pytest.mark.parametrize("text", HOSTILE)
def test_html_escapes_every_text(text: str) -> None:
    shown = page(completion(thought(text, text)))
    allowed = {
        "div",
        "p",
        "span",
        "details",
        "summary",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert shown.tags <= allowed
    assert {name for name, _ in shown.attributes} <= {"style", "title", "scope", "open"}
    assert shown.rows[1][:2] == [text, text]
    titles = [value for name, value in shown.attributes if name == "title"]
    assert titles == [f"{text} (weight 0.25, +1.00)"]


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
    assert [row[0] for row in page(chat).rows[1:]] == ["2", "+", "2é"]
    assert chat.choices[0]._repr_html_() == chat._repr_html_()
    assert [row[0] for row in page(Response.model_validate(RESPONSE)).rows[1:]] == [" 4", "."]


def test_html_names_choices_and_folds_long_tables() -> None:
    long = [thought("x")] * 100
    choices = [
        {"index": i, "text": "", "thoughts": each} for i, each in enumerate([long, long[:2]])
    ]
    shown = page(Completion.model_validate({**COMPLETION, "choices": choices}))
    assert re.findall(r"Choice (\d): (\d+) tokens", shown.text) == [("0", "100"), ("1", "2")]
    assert [name for name, _ in shown.attributes].count("open") == 1


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
