"""The site in Chromium: it asks no other host, search works, and the wavefront can be stepped."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = os.environ.get("QSTAR_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PAGES = (
    "",
    "concepts/wavefront/",
    "architecture/",
    "reference/http/completions/",
    "default-model/",
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """A plain file server with the built site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Browser, url: str, **settings: Any) -> Page:
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(60_000)
    page.goto(url, timeout=60_000)
    return page


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_no_other_host_and_has_no_error(
    browser: Browser, address: str, path: str
) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address + path, wait_until="networkidle", timeout=60_000)
    expect(page.locator("article h1")).to_be_visible()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert errors == []
    page.context.close()


def test_search_finds_a_page(browser: Browser, address: str) -> None:
    page = open_page(browser, address)
    page.get_by_role("textbox", name="Search").fill("wavefront")
    expect(page.locator(".md-search-result__item").first).to_contain_text(
        "wavefront", timeout=60_000
    )
    page.context.close()


def test_the_wavefront_can_be_stepped(browser: Browser, address: str) -> None:
    page = open_page(browser, address + "concepts/wavefront/")
    slider = page.get_by_role("slider", name="Pass")
    later = page.locator("svg[data-passes] .later")
    expect(slider).to_have_value("8")
    expect(later).to_have_count(0)
    slider.press("Home")
    expect(page.locator(".steps output")).to_have_text("pass 1 of 9")
    expect(page.locator("svg[data-passes] [data-pass='1']").first).to_have_class("later")
    expect(page.locator("li.now")).to_contain_text("first draft")
    slider.press("ArrowRight")
    expect(page.locator("svg[data-passes] [data-pass='1']").first).not_to_have_class("later")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".steps output")).to_have_text("pass 3 of 9", timeout=60_000)
    page.context.close()


def test_who_wants_less_motion_gets_no_play_button(browser: Browser, address: str) -> None:
    page = open_page(browser, address + "concepts/wavefront/", reduced_motion="reduce")
    expect(page.get_by_role("slider", name="Pass")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_have_count(0)
    page.context.close()


def test_the_wavefront_is_whole_without_scripts(browser: Browser, address: str) -> None:
    page = open_page(browser, address + "concepts/wavefront/", java_script_enabled=False)
    expect(page.locator("svg[data-passes] text", has_text="✗ mat")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(0)
    page.context.close()


def test_a_phone_shows_no_page_wider_than_itself(browser: Browser, address: str) -> None:
    for path in PAGES:
        page = open_page(browser, address + path, viewport={"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.context.close()
