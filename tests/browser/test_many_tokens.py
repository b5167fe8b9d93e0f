"""An answer of 2,000 tokens streams in without a task that a person would feel."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import TIMEOUT_MS, OpenPage
from tests.browser.main_thread import measured_tasks
from tests.browser.stage import staging
from tests.browser.stories import long_story

NUM_TOKENS = 2_000
MAX_TASK_MS = 100
STEP_S = 0.002
"""Time between tokens; at most 500 of them come in a second, far more than a model here makes."""


def wait_for_end(page: Page) -> None:
    """Until all tokens are there. To look for a button by its name, as other tests do, computes the
    names of all tokens: a task of 80 ms, which is the test's and not the page's."""
    page.wait_for_function(
        f"""() => document.querySelector('[aria-label=Answer]').ariaBusy === 'false'
            && document.querySelectorAll('[data-index]').length === {NUM_TOKENS}""",
        timeout=TIMEOUT_MS,
    )


def test_two_thousand_tokens_stream_without_jank(open_page: OpenPage) -> None:
    """A token is opened while they come; all of them are shaded anew at the end."""
    with staging(long_story(NUM_TOKENS)) as stage:
        stage.engine.step_s = STEP_S
        playground = open_page(stage.url)
        playground.set(Max_tokens=str(NUM_TOKENS))
        with measured_tasks(playground.page) as streaming:
            playground.ask()
            playground.token(100).click()
            expect(playground.inspector).to_be_visible()
            wait_for_end(playground.page)
        with measured_tasks(playground.page) as afterwards:
            playground.page.get_by_role("radio", name="Change").check()
            playground.token(NUM_TOKENS - 1).click()
            expect(playground.inspector).to_contain_text(f"Token {NUM_TOKENS}")
        assert streaming.longest_ms < MAX_TASK_MS, streaming.milliseconds[:10]
        assert afterwards.longest_ms < MAX_TASK_MS, afterwards.milliseconds[:10]
