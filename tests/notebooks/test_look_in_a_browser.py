"""The common look in Chromium without scripts, as notebooks and exported pages show it."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from scripts.copy_views import EXAMPLE_PAGE, LOOK

SCRIPT = "<script>document.body.remove()</script>"
"""Would remove everything if scripts ran."""
BACKGROUND = "element => getComputedStyle(element).backgroundColor"
NO_COLOUR = "rgba(0, 0, 0, 0)"
ORANGE_40 = "rgba(240, 140, 0, 0.22)"
BLUE_115 = "rgba(0, 114, 178, 0.21)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("QSTAR_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium: install the package chromium, or set QSTAR_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    yield from opened(browser)


def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page with the example twice, in two groups."""
    context = browser.new_context(java_script_enabled=False, **options)
    page = context.new_page()
    sheet = (LOOK / "thoughts.css").read_text(encoding="utf-8")
    example = EXAMPLE_PAGE.read_text(encoding="utf-8")
    other = example.replace("example-0", "example-1")
    page.set_content(f"<!doctype html><style>{sheet}</style>{example}{other}{SCRIPT}")
    yield page
    context.close()


def test_a_token_opens_and_closes_the_others_of_its_text(page: Page) -> None:
    texts = page.locator(".text")
    first, second, other = (
        texts.nth(0).locator("details").nth(0),
        texts.nth(0).locator("details").nth(3),
        texts.nth(1).locator("details").nth(0),
    )
    assert not first.locator(".card").is_visible()
    other.locator("summary").click()
    first.locator("summary").click()
    assert first.locator(".card").is_visible()
    assert "2 + 2 = 4" in first.locator(".card").inner_text()
    second.locator("summary").click()
    assert second.locator(".card").is_visible()
    assert not first.locator(".card").is_visible()
    assert other.locator(".card").is_visible(), "another text is another group"


def test_the_keyboard_is_enough(page: Page) -> None:
    for key in ("Tab", "Space", "Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert page.locator("input").nth(0).is_checked()
    assert page.locator("details[open] summary").all_inner_texts() == [","]


def test_a_card_opens_below_the_line_which_stays_whole(page: Page) -> None:
    tokens = page.locator(".text").nth(0).locator("summary")
    tokens.nth(0).click()
    line, after, card = (
        place.bounding_box()
        for place in (tokens.nth(0), tokens.nth(1), page.locator(".card").nth(0))
    )
    assert line
    assert after
    assert card
    assert line["y"] == pytest.approx(after["y"], abs=2)
    assert after["x"] == pytest.approx(line["x"] + line["width"], abs=2)
    assert card["y"] >= line["y"] + line["height"] - 4


def test_the_box_switches_the_shading_of_its_text(page: Page) -> None:
    texts = page.locator(".text")
    token, silent, other = (
        texts.nth(text).locator("details").nth(index) for text, index in ((0, 0), (0, 2), (1, 0))
    )
    assert [each.evaluate(BACKGROUND) for each in (token, silent)] == [ORANGE_40, NO_COLOUR]
    assert page.locator(".by-weight").nth(0).is_visible()
    page.locator("input").nth(0).check()
    assert [each.evaluate(BACKGROUND) for each in (token, silent)] == [BLUE_115, NO_COLOUR]
    assert other.evaluate(BACKGROUND) == ORANGE_40
    assert page.locator(".by-change").nth(0).is_visible()
    assert not page.locator(".by-weight").nth(0).is_visible()


def test_nothing_is_wider_than_a_phone(browser: Browser) -> None:
    for page in opened(browser, viewport={"width": 320, "height": 640}):
        for token in page.locator("summary").all():
            token.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_texts_are_no_markup(page: Page) -> None:
    token = page.locator("summary").nth(3)
    assert token.text_content() == "<script>alert(1)</script>&\"' "
    assert page.locator(".qstar-thoughts script, .qstar-thoughts i").count() == 0
