"""What can be done with an answer: look at its passes, run it again, copy, save and share it."""

import json
import re
import shlex
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.stage import Stage
from tests.browser.stories import SHORT

PROMPT = "What's “that” \\ $HOME `id` !! \n<b>?"
KEY = "a-key-of-this-test"


def ask(playground: Playground, prompt: str = "What colour?") -> None:
    playground.ask(prompt)
    playground.wait_for_end(len(SHORT))


def button(playground: Playground, name: str) -> Locator:
    return playground.page.get_by_role("button", name=name, exact=True)


def clipboard(playground: Playground) -> str:
    """What a button has copied."""
    expect(playground.page.get_by_text(re.compile(" copied$"))).to_be_visible()
    text: str = playground.page.evaluate("navigator.clipboard.readText()")
    return text


def test_the_timeline_shows_each_pass(playground: Playground) -> None:
    """The third token overruled its draft, so that the thought behind it was dropped."""
    ask(playground)
    timeline = playground.page.get_by_role("region", name="Timeline")
    for text in ("5 tokens", "1 wrong", "1 draft dropped"):
        expect(timeline).to_contain_text(text)
    timeline.get_by_role("button", name=re.compile("Token 3 .*guess wrong")).click()
    expect(playground.inspector).to_contain_text("dusk comes")
    slider = timeline.get_by_role("slider", name="Pass")
    slider.fill("0")
    expect(timeline).to_contain_text("Pass 0")
    expect(timeline.get_by_role("button", name=re.compile("^Token 2"))).to_have_count(0)
    button(playground, "Next pass").click()
    expect(timeline).to_contain_text("Pass 1")
    timeline.get_by_text("Passes as a table").click()
    expect(timeline.get_by_role("row")).to_have_count(len(SHORT) + 1)


def test_the_timeline_grows_with_the_answer(playground: Playground, stage: Stage) -> None:
    stage.engine.pause_after = 3
    playground.ask()
    timeline = playground.page.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("3 tokens")
    stage.engine.resume()
    expect(timeline).to_contain_text("5 tokens")


def test_the_same_request_runs_without_thinking(playground: Playground, stage: Stage) -> None:
    ask(playground)
    beside = playground.page.get_by_role("region", name="Side by side")
    button(playground, "Thinking off").click()
    table = beside.get_by_role("table", name="Token by token")
    expect(table.get_by_role("row")).to_have_count(len(SHORT) + 1)
    expect(beside).to_contain_text("Both answers are the same")
    first, second = (each.params.num_thought_tokens for each in stage.engine.submitted)
    assert (first, second) == (None, 0)


def test_another_length_and_another_seed(playground: Playground, stage: Stage) -> None:
    ask(playground)
    beside = playground.page.get_by_role("region", name="Side by side")
    beside.get_by_role("spinbutton", name="Thought length").fill("7")
    button(playground, "Another thought length").click()
    expect(beside).to_contain_text("Thoughts of 7 tokens")
    expect(beside).to_contain_text("Both answers are the same")
    beside.get_by_role("spinbutton", name="Other seed").fill("1234")
    button(playground, "Another seed").click()
    expect(beside).to_contain_text("Seed 1234")
    expect(beside).to_contain_text("Both answers are the same")
    _, length, seed = (each.params for each in stage.engine.submitted)
    assert (length.num_thought_tokens, seed.seed) == (7, 1234)


def test_an_answer_that_differs_is_marked(playground: Playground, stage: Stage) -> None:
    ask(playground)
    stage.engine.story = [*SHORT[:3], SHORT[4]]
    button(playground, "Thinking off").click()
    beside = playground.page.get_by_role("region", name="Side by side")
    expect(beside).to_contain_text("They first differ at token 4")
    expect(beside.get_by_role("row", name=re.compile("first difference"))).to_contain_text("red")


def test_an_error_of_the_second_run_leaves_the_first(playground: Playground, stage: Stage) -> None:
    playground.watch.expected.append("status of 429")
    ask(playground)
    stage.engine.is_full = True
    button(playground, "Thinking off").click()
    beside = playground.page.get_by_role("region", name="Side by side")
    expect(beside.get_by_role("alert")).to_contain_text("busy")
    expect(playground.tokens).to_have_count(len(SHORT))


def test_the_request_is_copied_as_programs(stage: Stage, open_page: OpenPage) -> None:
    playground = open_page(stage.url, permissions=["clipboard-read", "clipboard-write"])
    ask(playground, PROMPT)
    button(playground, "Copy as curl").click()
    expect(playground.page.get_by_text("curl copied")).to_be_visible()
    command = shlex.split(clipboard(playground))
    (body,) = (json.loads(each) for each in command if each.startswith("{"))
    assert body["prompt"] == PROMPT
    assert f"{stage.url}/v1/completions" in command
    for name in ("Python", "JavaScript"):
        button(playground, f"Copy as {name}").click()
        expect(playground.page.get_by_text(f"{name} copied")).to_be_visible()
        assert "show_thoughts" in clipboard(playground)


def test_a_saved_answer_opens_again(stage: Stage, open_page: OpenPage, tmp_path: Path) -> None:
    playground = open_page(stage.url)
    ask(playground, PROMPT)
    with playground.page.expect_download() as download:
        button(playground, "Export JSON").click()
    path = tmp_path / "run.json"
    download.value.save_as(path)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert (saved["format"], saved["version"]) == ("qstar-run", 1)
    (run,) = saved["runs"]
    assert run["request"]["prompt"] == PROMPT
    assert run["choices"][0]["text"] == "The sky turns red."
    assert len(run["choices"][0]["thoughts"][2]["base_top_logprobs"]) == 3

    playground.page.reload()
    with playground.page.expect_file_chooser() as chooser:
        button(playground, "Open file").click()
    chooser.value.set_files(path)
    playground.wait_for_end(len(SHORT))
    playground.token(2).click()
    expect(playground.inspector).to_contain_text("dusk comes")
    assert len(stage.engine.submitted) == 1


def test_a_file_of_something_else_is_refused(playground: Playground, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"format": "other"}', encoding="utf-8")
    with playground.page.expect_file_chooser() as chooser:
        button(playground, "Open file").click()
    chooser.value.set_files(path)
    expect(playground.alert).to_be_visible()
    expect(playground.tokens).to_have_count(0)


def test_a_saved_page_shows_the_answer_without_any_script(
    stage: Stage, open_page: OpenPage, tmp_path: Path
) -> None:
    playground = open_page(stage.url)
    ask(playground, PROMPT)
    with playground.page.expect_download() as download:
        button(playground, "Export HTML").click()
    download.value.save_as(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|https?://|\son\w+=", text)
    context = playground.page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto((tmp_path / "run.html").as_uri())
    for text in ("turns", "dusk comes", "$HOME `id`"):
        expect(page.get_by_text(text).first).to_be_attached()
    context.close()


def test_a_link_holds_the_setup_and_never_the_key(stage: Stage, open_page: OpenPage) -> None:
    playground = open_page(stage.url, permissions=["clipboard-read", "clipboard-write"])
    playground.prompt.fill(PROMPT)
    playground.set(Seed="77", Thought_length="2")
    field = playground.page.get_by_role("textbox", name="API key")
    field.fill(KEY)
    field.press("Enter")
    button(playground, "Copy link").click()
    expect(playground.page.get_by_text(re.compile("ink copied"))).to_be_visible()
    link = clipboard(playground)
    assert KEY not in link
    base, _, fragment = link.partition("#")
    assert base == f"{stage.url}/"

    other = open_page(stage.url, at=f"/#{fragment}")
    expect(other.prompt).to_have_value(PROMPT)
    other.generate.click()
    other.wait_for_end(len(SHORT))
    params = stage.engine.submitted[-1].params
    assert (params.seed, params.num_thought_tokens) == (77, 2)


def test_a_damaged_link_is_said(stage: Stage, open_page: OpenPage) -> None:
    playground = open_page(stage.url, at="/#qstar1=AAAA")
    expect(playground.alert).to_contain_text("link")
    expect(playground.generate).to_be_enabled()
