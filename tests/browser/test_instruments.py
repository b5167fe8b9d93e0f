"""The instruments of these tests see what they are for: each finds a planted fault."""

from contextlib import closing

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browser.accessibility import severe_findings
from tests.browser.main_thread import measured_tasks
from tests.browser.relay import Relay
from tests.browser.stage import Stage
from tests.browser.watch import Watch

COMPUTE = """() => new Promise(done => setTimeout(() => {
    let sum = 0
    for (let number = 0; number < 1e8; number++) sum = (sum + number) % 7
    done(sum)
}))"""
"""Takes some 0.4 s of processor time in one task."""


def test_a_task_that_computes_is_measured(browser: Browser) -> None:
    page = browser.new_page()
    with measured_tasks(page) as idle:
        page.evaluate("1")
    with measured_tasks(page) as busy:
        page.evaluate(COMPUTE)
    page.close()
    assert busy.longest_ms > 100 > idle.longest_ms
    assert busy.total_ms >= busy.longest_ms


def test_a_field_without_a_label_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang=en><title>t</title><main><h1>t</h1><input></main></html>")
    (found,) = severe_findings(page)
    page.close()
    assert found.startswith("label (critical)")


def test_errors_and_other_hosts_are_seen(browser: Browser, stage: Stage) -> None:
    context = browser.new_context()
    watch = Watch(context, stage.url)
    page = context.new_page()
    page.goto(f"{stage.url}/health")
    watch.assert_clean()
    page.evaluate("console.error('planted')")
    page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    with page.expect_event("requestfailed"):
        page.evaluate("fetch('http://elsewhere.example/').catch(() => null)")
    context.close()
    assert "error: planted" in watch.errors
    assert any("thrown" in each for each in watch.errors)
    with pytest.raises(AssertionError, match="other hosts"):
        watch.assert_clean()


def test_a_relay_cuts_a_stream(stage: Stage) -> None:
    stage.engine.pause_after = 2
    body = {"model": stage.engine.model.name, "prompt": "?", "stream": True, "max_tokens": 5}
    with closing(Relay(stage.server.port)) as relay:
        assert httpx.get(f"{relay.url}/health").status_code == 200
        with httpx.stream("POST", f"{relay.url}/v1/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()
            next(line for line in lines if "sky" in line)
            relay.cut()
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        assert httpx.get(f"{relay.url}/health").status_code == 200
