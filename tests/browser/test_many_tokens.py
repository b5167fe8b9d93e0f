"""An answer of 2,000 tokens streams in without a task that a person would feel."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.main_thread import measured_tasks
from tests.browser.stage import staging
from tests.browser.stories import long_story

NUM_TOKENS = 2_000
MAX_TASK_MS = 100
STEP_S = 0.002
"""Time between tokens; at most 500 of them come in a second, far more than a model here makes."""


def test_two_thousand_tokens_stream_without_jank(open_page: OpenPage) -> None:
    """While they come, a token is opened, and shades are switched at the end."""
    with staging(long_story(NUM_TOKENS)) as stage:
        stage.engine.step_s = STEP_S
        playground = open_page(stage.url)
        playground.page.get_by_role("spinbutton", name="Tokens").fill(str(NUM_TOKENS))
        with measured_tasks(playground.page) as tasks:
            playground.ask()
            playground.token(100).click()
            expect(playground.inspector).to_be_visible()
            playground.wait_for_end(NUM_TOKENS)
            playground.page.get_by_role("radio", name="Change").check()
            playground.token(NUM_TOKENS - 1).scroll_into_view_if_needed()
            playground.token(NUM_TOKENS - 1).click()
        assert tasks.longest_ms < MAX_TASK_MS, tasks.milliseconds[:10]
