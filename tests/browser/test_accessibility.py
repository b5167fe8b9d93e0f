"""axe-core finds nothing serious in the main states, in light, in dark and on a phone."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import severe_findings
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.stage import Stage
from tests.browser.stories import SHORT

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", **PHONE},
    "dark phone": {"color_scheme": "dark", **PHONE},
}


def check(playground: Playground) -> None:
    findings = severe_findings(playground.page)
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_serious_is_found(look: str, stage: Stage, open_page: OpenPage) -> None:
    playground = open_page(stage.url, **LOOKS[look])
    expect(playground.generate).to_be_enabled()
    check(playground)
    stage.engine.pause_after = 3
    playground.ask()
    expect(playground.tokens).to_have_count(3)
    check(playground)
    stage.engine.resume()
    playground.wait_for_end(len(SHORT))
    playground.token(2).click()
    expect(playground.inspector).to_be_visible()
    check(playground)
    playground.page.get_by_role("button", name="Pin", exact=True).click()
    expect(playground.compared).to_be_visible()
    check(playground)
    playground.page.keyboard.press("Escape")
    playground.open_settings()
    playground.page.get_by_role("button", name="Thinking off").click()
    table = playground.page.get_by_role("table", name="Token by token")
    expect(table.get_by_role("row")).to_have_count(len(SHORT) + 1)
    playground.page.get_by_text("Passes as a table").click()
    check(playground)


def test_nothing_serious_is_found_in_an_error(playground: Playground, stage: Stage) -> None:
    playground.watch.expected.append("status of 429")
    stage.engine.is_full = True
    playground.ask()
    expect(playground.alert).to_be_visible()
    check(playground)
