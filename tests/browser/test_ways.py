"""Other ways to use the page: only keys, a phone, dark and light."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.stage import Stage
from tests.browser.stories import SHORT
from tests.browser.test_accessibility import PHONE


def test_keys_alone_are_enough(playground: Playground) -> None:
    """From the prompt to two pinned thoughts, without a mouse."""
    keyboard = playground.page.keyboard
    expect(playground.generate).to_be_enabled()
    tab_to(playground, "Prompt")
    keyboard.press("ControlOrMeta+a")
    keyboard.type("What colour?")
    keyboard.press("ControlOrMeta+Enter")
    playground.wait_for_end(len(SHORT))
    tab_to_token(playground)
    keyboard.press("Home")
    expect(playground.token(0)).to_be_focused()
    for _ in range(2):
        keyboard.press("ArrowRight")
    expect(playground.token(2)).to_be_focused()
    keyboard.press("Enter")
    expect(playground.inspector).to_contain_text("dusk comes")
    keyboard.press("Escape")
    expect(playground.inspector).not_to_be_visible()
    expect(playground.token(2)).to_be_focused()
    keyboard.press("p")
    keyboard.press("ArrowLeft")
    keyboard.press("p")
    expect(playground.compared).to_contain_text("above is")
    keyboard.press("End")
    expect(playground.token(len(SHORT) - 1)).to_be_focused()


def test_escape_stops_an_answer(playground: Playground, stage: Stage) -> None:
    stage.engine.pause_after = 2
    expect(playground.generate).to_be_enabled()
    playground.prompt.focus()
    playground.page.keyboard.press("ControlOrMeta+Enter")
    expect(playground.tokens).to_have_count(2)
    playground.page.keyboard.press("Escape")
    playground.wait_for_end(2)


def tab_to(playground: Playground, name: str) -> None:
    """Press Tab until the textbox has the focus; no more often than a page has controls."""
    for _ in range(60):
        if playground.page.get_by_role("textbox", name=name).evaluate(IS_FOCUSED):
            return
        playground.page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {name}")


def tab_to_token(playground: Playground) -> None:
    for _ in range(60):
        if playground.answer.locator("[data-index]:focus").count():
            return
        playground.page.keyboard.press("Tab")
    pytest.fail("Tab does not reach a token")


IS_FOCUSED = "element => element === document.activeElement"


def test_the_focus_can_be_seen(playground: Playground) -> None:
    """Each stop of the Tab key changes how its element looks."""
    playground.ask()
    playground.wait_for_end(len(SHORT))
    playground.page.get_by_role("combobox", name="Theme").focus()
    seen: set[str] = set()
    for _ in range(30):
        playground.page.keyboard.press("Tab")
        name, ring = playground.page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement)
                const has = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
                return [document.activeElement.outerHTML.slice(0, 100),
                        has || style.boxShadow !== 'none']
            }"""
        )
        if name.startswith("<body"):
            break  # the end of the page
        assert ring, f"no visible focus: {name}"
        seen.add(name)
    assert len(seen) > 5


def test_a_phone_shows_it_all_without_scrolling_sideways(stage: Stage, open_page: OpenPage) -> None:
    playground = open_page(stage.url, **PHONE)
    playground.ask()
    playground.wait_for_end(len(SHORT))
    playground.token(2).tap()
    expect(playground.inspector).to_be_in_viewport()
    expect(playground.inspector).to_contain_text("dusk comes")
    width = "[document.documentElement.scrollWidth, window.innerWidth]"
    scroll_width, inner_width = playground.page.evaluate(width)
    assert scroll_width <= inner_width == 360


def luminance(playground: Playground) -> float:
    """Mean of red, green and blue of the page's ground, 0 to 255."""
    ground: str = playground.page.evaluate(
        """() => [document.body, document.documentElement]
            .map(each => getComputedStyle(each).backgroundColor)
            .find(each => each !== 'rgba(0, 0, 0, 0)')"""
    )
    parts = [float(part) for part in re.findall(r"[\d.]+", ground)[:3]]
    return sum(parts) / 3


def test_dark_and_light_follow_the_system_until_a_person_chooses(
    stage: Stage, open_page: OpenPage
) -> None:
    playground = open_page(stage.url, color_scheme="dark")
    expect(playground.generate).to_be_enabled()
    assert luminance(playground) < 64
    playground.page.emulate_media(color_scheme="light")
    assert luminance(playground) > 192
    theme = playground.page.get_by_role("combobox", name="Theme")
    theme.select_option("Dark")
    assert luminance(playground) < 64
    playground.page.reload()
    expect(playground.generate).to_be_enabled()
    assert luminance(playground) < 64, "the choice is kept"
    theme.select_option("System")
    assert luminance(playground) > 192


def test_begin_and_end_are_told_and_not_every_word(playground: Playground, stage: Stage) -> None:
    told = playground.page.get_by_role("status").filter(has_text=re.compile("model|answer"))
    stage.engine.pause_after = 3
    playground.ask()
    expect(playground.tokens).to_have_count(3)
    expect(told.first).to_have_text("The model has begun to answer.")
    stage.engine.resume()
    expect(told.first).to_have_text("The answer is complete: 5 tokens.")
    alive = "element => element.closest('[aria-live], [role=status], [role=log]') !== null"
    assert not playground.token(0).evaluate(alive)


def test_a_number_can_be_emptied_and_written_anew(playground: Playground) -> None:
    """An emptied "Max tokens" became 1 at once, and "32" behind it 132."""
    playground.open_settings()
    field = playground.settings.get_by_role("spinbutton", name="Max tokens")
    field.press("End")
    for _ in field.input_value():
        field.press("Backspace")
    expect(field).to_have_value("")
    field.press_sequentially("3")
    expect(field).to_have_value("3")
    playground.ask()
    playground.wait_for_end(3)
