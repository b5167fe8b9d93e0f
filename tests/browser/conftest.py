"""A browser for each file of tests, a fresh page for each test, and a server for both.

The browser belongs to a file and not to the session, because Playwright leaves an event loop
running in its thread, in which asynchronous tests of other files could not run.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import executable, launch
from tests.browser.playground import Playground
from tests.browser.stage import Stage, staging
from tests.browser.watch import Watch

TIMEOUT_MS = 60_000
"""For a busy machine; what is waited for comes at once on a quiet one."""

expect.set_options(timeout=TIMEOUT_MS)

OpenPage = Callable[..., Playground]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable()  # a machine without one skips before anything is started
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server that tells the short story."""
    with staging() as stage:
        yield stage


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens the page of a server; at the end of the test nothing forbidden may have happened.

    `open_page(url, at="/", **options)`: options are those of a browser context, such as `viewport`.
    """
    with ExitStack() as stack:

        def open_at(url: str, at: str = "/", **options: Any) -> Playground:
            context = browser.new_context(**{"reduced_motion": "reduce"} | options)
            stack.callback(context.close)
            context.set_default_timeout(TIMEOUT_MS)
            watch = Watch(context, url)
            stack.callback(watch.assert_clean)
            page = context.new_page()
            page.goto(f"{url}{at}")
            return Playground(page, watch)

        yield open_at


@pytest.fixture
def playground(stage: Stage, open_page: OpenPage) -> Playground:
    """The page in front of the server that tells the short story."""
    return open_page(stage.url)
