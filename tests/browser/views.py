"""The main views of the page, as the documentation shows them: with the lab model, and real."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from playwright.sync_api import expect

from tests.browser.playground import Playground

PROMPT = "6*5+1-3"
SEED = "10"
ANSWER = "+6+4+1*2-5+3+6*6*3*3*2-3*4?6"
"""What the lab model adds with this seed: the rest of a sum, and its result modulo 7."""
NUM_TOKENS = 16
DIGIT = 14
"""Index of the only token with a thought; the end of sequence follows."""
WORKING = "2306341365264156"
"""That thought: the value after each of the 16 operations."""

MAX_COLOURS = 256
MAX_BYTES = 200_000

DESKTOP = {"width": 1240, "height": 940}
PHONE = {"width": 390, "height": 780}


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture of the documentation.

    Attributes:
        show: brings a page that was just opened into the view.
        options: of the browser's context, besides the size of a desktop window.
        region: name of the region that is pictured; None is the window.
    """

    show: Callable[[Playground], None]
    options: dict[str, Any] = field(default_factory=dict)
    region: str | None = None


def ask(playground: Playground) -> None:
    """The same sum each time, and the same answer."""
    expect(playground.generate).to_be_enabled()
    playground.set(Max_tokens="40", Temperature="1", Seed=SEED)
    playground.fold_settings()
    playground.ask(PROMPT)
    playground.wait_for_end(NUM_TOKENS)
    expect(playground.answer).to_contain_text(ANSWER)


def open_thought(playground: Playground) -> None:
    ask(playground)
    playground.token(DIGIT).click()
    expect(playground.inspector).to_contain_text(WORKING)


def open_thought_below(playground: Playground) -> None:
    """On a phone: the answer stands at the top, and the thought covers what is below."""
    open_thought(playground)
    playground.answer.evaluate("element => element.scrollIntoView()")


def compare(playground: Playground) -> None:
    open_thought(playground)
    for index in (4, DIGIT):
        playground.token(index).focus()
        playground.page.keyboard.press("p")
    expect(playground.compared).to_contain_text(WORKING)


def run_without_thinking(playground: Playground) -> None:
    ask(playground)
    playground.page.get_by_role("button", name="Thinking off").click()
    beside = playground.page.get_by_role("region", name="Side by side")
    expect(beside).to_contain_text(f"They first differ at token {DIGIT + 1}")
    beside.get_by_role("row", name=re.compile("first difference")).scroll_into_view_if_needed()


def show_passes(playground: Playground) -> None:
    """A shorter sum, of which the model thinks at every token: many thoughts are in flight, and
    the last one overrules a guess, behind which others had begun."""
    expect(playground.generate).to_be_enabled()
    playground.set(Max_tokens="40", Temperature="1", Seed="1", Thought_length="4")
    where = playground.settings.get_by_role("combobox", name="Where it thinks")
    where.select_option("everywhere")
    playground.fold_settings()
    playground.ask("5*3-2+4......")
    playground.wait_for_end(10)
    expect(playground.answer).to_contain_text(".......?3")
    timeline = playground.page.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("1 wrong")
    timeline.get_by_role("slider", name="Pass").fill("14")
    expect(timeline).to_contain_text("Pass 14")


VIEWS = {
    "first-sight": View(
        show=lambda playground: expect(playground.generate).to_be_enabled(),
        options={"viewport": {"width": 1240, "height": 720}},
    ),
    "answer": View(show=ask),
    "thought": View(show=open_thought),
    "compare": View(show=compare, region="Compare"),
    "side-by-side": View(show=run_without_thinking, region="Side by side"),
    "timeline": View(show=show_passes, region="Timeline"),
    "dark": View(show=open_thought, options={"color_scheme": "dark"}),
    "phone": View(
        show=open_thought_below,
        options={"viewport": PHONE, "has_touch": True, "is_mobile": True},
    ),
}
"""Each picture by its name."""


def picture(playground: Playground, view: View) -> bytes:
    """A PNG with few colours: a page of text needs no more, and the file is a fifth as large."""
    page = playground.page
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise(requestAnimationFrame)")  # draws what was pointed at anew
    target = page if view.region is None else page.get_by_role("region", name=view.region)
    png = target.screenshot(animations="disabled", caret="hide")
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image = image.quantize(MAX_COLOURS, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, "PNG", optimize=True)
    return small.getvalue()
