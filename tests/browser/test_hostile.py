"""What a hostile or broken server, a hostile file and a hostile link cannot do to the page."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.stage import Stage, staging
from tests.browser.stories import HOSTILE, HOSTILE_TEXTS, SHORT

SETTINGS: dict[str, Any] = {
    **{"max_tokens": 8, "temperature": None, "top_p": None, "top_k": None, "seed": None},
    **{"num_thought_tokens": None, "thought_temperature": None, "think_threshold": None},
    **{"thinking": None, "stop": []},
}


def link(**setup: Any) -> str:
    """The address of a link to a setup."""
    whole = {"mode": "completion", "prompt": "Hi", "messages": [], "settings": SETTINGS} | setup
    return "/#qstar1=" + base64.urlsafe_b64encode(json.dumps(whole).encode()).decode().rstrip("=")


def answer_with(playground: Playground, status: int, kind: str, body: str) -> None:
    """Let the server answer the next completions with this."""

    def fulfill(route: Route) -> None:
        route.fulfill(status=status, headers={"content-type": kind}, body=body)

    playground.page.unroute_all()
    playground.page.route("**/v1/completions", fulfill)


def width_of(playground: Playground) -> tuple[int, int]:
    """Of the content and of the window, in pixels."""
    script = "[document.documentElement.scrollWidth, innerWidth]"
    content, window = playground.page.evaluate(script)
    return content, window


def test_a_long_error_does_not_widen_the_page(playground: Playground) -> None:
    """An error of 2,000 letters without a space made the page 18,868 pixels wide."""
    playground.watch.expected.append("status of 400")
    error = {"message": f"bad \u202e\x1b[31m {'y' * 2000}", "type": "x"}
    answer_with(playground, 400, "application/json", json.dumps({"error": error}))
    playground.ask()
    expect(playground.alert).to_contain_text("yyy")
    text = playground.alert.inner_text()
    assert not {"\u202e", "\x1b"} & set(text)
    content, window = width_of(playground)
    assert content <= window


@pytest.mark.parametrize(
    "entry", [{"token": 5}, {"token": "a"}, {"token": "a", "thought": {}}, {"__proto__": 1}]
)
def test_an_entry_that_is_none_is_said_and_the_page_lives(
    playground: Playground, entry: dict[str, Any]
) -> None:
    """The page stopped drawing for good: "endsWith is not a function"."""
    chunk = {"choices": [{"index": 0, "text": "a", "thoughts": [entry]}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    answer_with(playground, 200, "text/event-stream", body)
    playground.ask()
    expect(playground.alert).to_contain_text(re.compile(r"thoughts\[0\]|not a chunk"))
    playground.page.unroute_all()
    playground.ask()
    playground.wait_for_end(len(SHORT))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("thinking", {"where": "nowhere"}, "thinking.where is"),
        ("max_thought_tokens", "NaN", "max_thought_tokens is"),
        ("description", 5, "description is 5"),
    ],
)
def test_a_model_that_is_told_wrongly_is_said(
    playground: Playground, field: str, value: object, message: str
) -> None:
    """A rule of `null` was an exception in the page, and nothing was said."""

    def fulfill(route: Route) -> None:
        listed = route.fetch().json()
        listed["data"][0][field] = value
        route.fulfill(json=listed)

    playground.page.route("**/v1/models", fulfill)
    playground.page.reload()
    expect(playground.page.get_by_text(message)).to_be_visible()


def test_what_an_older_server_leaves_empty_is_as_if_absent(playground: Playground) -> None:
    def fulfill(route: Route) -> None:
        listed = route.fetch().json()
        listed["data"][0] |= {"thinking": None, "description": None, "max_model_len": None}
        route.fulfill(json=listed)

    playground.page.route("**/v1/models", fulfill)
    playground.page.reload()
    playground.ask()
    playground.wait_for_end(len(SHORT))


def test_a_link_to_a_chat_can_be_left_where_the_model_cannot_chat(
    stage: Stage, open_page: OpenPage
) -> None:
    """There was no switch of the mode, and so no way to a completion."""
    stage.engine.model = replace(stage.engine.model, chat_template=None)
    playground = open_page(stage.url, link(mode="chat"))
    completion = playground.page.get_by_role("radio", name="Completion")
    expect(completion).to_be_visible()
    completion.click()
    expect(completion).to_have_count(0)
    playground.ask()
    playground.wait_for_end(len(SHORT))


def test_a_second_link_changes_the_tokens_that_it_thinks_behind(
    stage: Stage, open_page: OpenPage
) -> None:
    """The field went on to show those of the first link, while the request had the second's."""
    rules = [{"where": "behind", "tokens": [token]} for token in ("a", "b")]
    first, second = (link(settings=SETTINGS | {"thinking": rule}) for rule in rules)
    playground = open_page(stage.url, first)
    playground.open_settings()
    field = playground.settings.get_by_role("textbox", name="Tokens it thinks after")
    expect(field).to_have_value("a")
    playground.page.evaluate("fragment => { location.hash = fragment }", second[1:])
    expect(field).to_have_value("b")
    field.fill("c  d ")
    expect(field).to_have_value("c  d ")


def test_a_file_nested_too_deep_is_refused(playground: Playground) -> None:
    """It was opened, and copying its request then failed without a word."""
    deep = "[" * 50_000 + "]" * 50_000
    request = f'{{"prompt": "x", "other": {deep}}}'
    rest = '"model": "m", "endpoint": "completions", "choices": [], "usage": null, "seconds": 1'
    run = f'{{"created": 1, {rest}, "request": {request}}}'
    open_file(playground, f'{{"format": "qstar-run", "version": 1, "runs": [{run}]}}')
    expect(playground.alert).to_contain_text("runs[0].request.other")


def test_a_refused_file_is_quoted_shortly(playground: Playground) -> None:
    """Its version was quoted whole: a megabyte of text in the page."""
    version = json.dumps("9" * 1_000_000)
    open_file(playground, f'{{"format": "qstar-run", "version": {version}, "runs": []}}')
    expect(playground.alert).to_contain_text("version")
    assert len(playground.alert.inner_text()) < 500


def open_file(playground: Playground, content: str) -> None:
    """Open a file with this content in the page."""
    playground.page.get_by_label("File of saved runs").set_input_files(
        {"name": "<b>.json", "mimeType": "application/json", "buffer": content.encode()}
    )


@pytest.mark.parametrize("has_policy", [True, False])
def test_an_exported_page_runs_nothing_even_without_its_policy(
    browser: Browser, open_page: OpenPage, tmp_path: Path, has_policy: bool
) -> None:
    """Opened from the disk, with scripts allowed, every text of the model stays a text."""
    with staging(HOSTILE) as stage:
        playground = open_page(stage.url)
        playground.ask("".join(HOSTILE_TEXTS))
        playground.wait_for_end(len(HOSTILE))
        with playground.page.expect_download() as download:
            playground.page.get_by_role("button", name="Export HTML").click()
        html = download.value.path().read_text(encoding="utf-8")
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert policy.search(html)
    file = tmp_path / "run.html"
    file.write_text(html if has_policy else policy.sub("", html), encoding="utf-8")
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(file.as_uri())
    for token in page.locator(".text summary").all():
        token.click()
    expect(page.locator(".text details[open]")).to_have_count(1)
    script = (
        "[window.hacked, document.scripts.length, document.images.length, document.links.length]"
    )
    assert page.evaluate(script) == [None, 0, 0, 0]
    assert asked == [file.as_uri()]
    context.close()
