"""What a person sees when a server refuses, is not ready or is cut off."""

import re
import threading
from contextlib import closing
from dataclasses import replace

from playwright.sync_api import Route, expect
from qstar_server.http.errors import overloaded
from qstar_server.settings.config import ServerConfig

from qstar_infer.errors import EngineDeadError
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.relay import Relay
from tests.browser.stage import Stage, staging
from tests.browser.stories import SHORT
from tests.browser.story import StoryEngine
from tests.server.live_server import start_loading

KEY = "a-key-of-this-test"


def test_a_key_is_asked_for_and_kept_for_the_session(open_page: OpenPage) -> None:
    with staging(api_key=KEY) as stage:
        playground = open_page(stage.url)
        playground.watch.expected.append("status of 401")
        field = playground.page.get_by_role("textbox", name="API key")
        expect(field).to_be_visible()
        field.fill("wrong")
        field.press("Enter")
        expect(playground.alert).to_contain_text(re.compile("key", re.IGNORECASE))
        field.fill(KEY)
        field.press("Enter")
        playground.ask()
        playground.wait_for_end(len(SHORT))
        expect(playground.alert).to_have_count(0)
        playground.page.reload()
        playground.ask()
        playground.wait_for_end(len(SHORT))
        storage = "[JSON.stringify(localStorage), document.cookie, location.href]"
        assert KEY not in " ".join(playground.page.evaluate(storage))
        assert KEY in playground.page.evaluate("JSON.stringify(sessionStorage)")


def test_a_key_is_not_called_wrong_before_the_server_has_said_so(open_page: OpenPage) -> None:
    """The page called each new key invalid until the answer came, and took the focus away."""
    with staging(api_key=KEY) as stage:
        playground = open_page(stage.url)
        playground.watch.expected.append("status of 401")
        field = playground.page.get_by_role("textbox", name="API key")
        field.wait_for()
        held: list[Route] = []
        playground.page.route("**/v1/models", lambda route: held.append(route))
        field.fill("wrong")
        field.press("Enter")
        expect(playground.alert).to_contain_text("Asking the server")
        expect(field).to_be_focused()
        held.pop().continue_()
        expect(playground.alert).to_contain_text("not valid")
        expect(field).to_be_focused()
        field.fill(KEY)
        field.press("Enter")
        expect(playground.alert).to_contain_text("Asking the server")
        held.pop().continue_()
        expect(playground.generate).to_be_enabled()
        expect(playground.prompt).to_be_focused()


def test_a_server_that_comes_back_with_another_model_is_asked_for_that(
    playground: Playground, stage: Stage
) -> None:
    """The page went on to ask for the model before, and said that it was ready."""
    playground.watch.expected.append("ERR_FAILED")
    page = playground.page
    expect(playground.generate).to_be_enabled()
    page.route("**/v1/**", lambda route: route.abort())
    playground.ask()
    expect(playground.alert).to_contain_text("does not answer")
    expect(page.get_by_role("banner")).to_contain_text("not reachable")
    stage.engine.model = replace(stage.engine.model, name="another")
    page.unroute_all()
    expect(page.get_by_role("banner")).to_contain_text("another")
    expect(page.get_by_role("banner")).to_contain_text("ready")


def test_a_full_queue_is_named_with_the_time_to_wait(playground: Playground, stage: Stage) -> None:
    playground.watch.expected.append("status of 429")
    stage.engine.is_full = True
    playground.ask()
    expect(playground.alert).to_contain_text("7 s")
    stage.engine.is_full = False
    playground.alert.get_by_role("button", name="Try again").click()
    playground.wait_for_end(len(SHORT))
    expect(playground.alert).to_have_count(0)


def test_a_model_that_loads_is_waited_for(open_page: OpenPage) -> None:
    gate = threading.Event()
    engine = StoryEngine(SHORT)

    def load() -> StoryEngine:
        assert gate.wait(120)
        return engine

    server = start_loading(load, ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1))
    try:
        playground = open_page(server.url)
        playground.watch.expected.append("status of 503")
        expect(playground.page.get_by_text(re.compile("model is loading"))).to_be_visible()
        gate.set()
        expect(playground.page.get_by_text(engine.model.name).first).to_be_visible()
        playground.ask()
        playground.wait_for_end(len(SHORT))
    finally:
        gate.set()
        server.stop()


def test_a_server_that_has_gone_is_said(playground: Playground, stage: Stage) -> None:
    playground.watch.expected.append("ERR_CONNECTION_REFUSED")
    expect(playground.generate).to_be_enabled()
    stage.server.stop()
    playground.ask()
    expect(playground.alert).to_contain_text("does not answer")
    expect(playground.alert.get_by_role("button", name="Try again")).to_be_enabled()


def test_an_overloaded_server_is_said(playground: Playground) -> None:
    """A 503 that is not about loading, as the server answers when bodies fill its memory."""
    playground.watch.expected.append("status of 503")
    error = overloaded("Other requests fill the memory.")
    response = error.response()
    playground.page.route(
        "**/v1/completions",
        lambda route: route.fulfill(
            status=response.status_code, headers=dict(response.headers), body=bytes(response.body)
        ),
    )
    playground.ask()
    expect(playground.alert).to_contain_text("Other requests fill the memory.")
    playground.page.unroute_all()
    playground.alert.get_by_role("button", name="Try again").click()
    playground.wait_for_end(len(SHORT))


def test_an_engine_that_crashes_in_a_stream_leaves_what_came(
    playground: Playground, stage: Stage
) -> None:
    # The page asks whether the server is there, which stops itself.
    playground.watch.expected.append("status of 503|ERR_CONNECTION|ERR_EMPTY_RESPONSE")
    stage.engine.pause_after = 3
    playground.ask()
    expect(playground.tokens).to_have_count(3)
    stage.engine.die(EngineDeadError("planted"))
    expect(playground.alert).to_contain_text("crashed")
    playground.wait_for_end(3)
    playground.token(2).click()
    expect(playground.inspector).to_contain_text("dusk comes")


def test_a_cut_stream_leaves_what_came_and_can_be_tried_again(
    stage: Stage, open_page: OpenPage
) -> None:
    with closing(Relay(stage.server.port)) as relay:
        playground = open_page(relay.url)
        playground.watch.expected.append("ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION")
        stage.engine.pause_after = 3
        playground.ask()
        expect(playground.tokens).to_have_count(3)
        relay.cut()
        expect(playground.alert).to_be_visible()
        expect(playground.tokens).to_have_count(3)
        stage.engine.resume()
        playground.alert.get_by_role("button", name="Try again").click()
        playground.wait_for_end(len(SHORT))
        expect(playground.alert).to_have_count(0)


def test_a_server_without_thoughts_says_so_and_answers(open_page: OpenPage) -> None:
    with staging(allow_thoughts=False) as stage:
        playground = open_page(stage.url)
        playground.watch.expected.append("status of 403")
        playground.ask()
        expect(playground.answer).to_contain_text("The sky turns red.")
        expect(playground.page.get_by_text(re.compile("does not show thoughts"))).to_be_visible()


def test_answers_without_thoughts_are_compared_by_their_texts(open_page: OpenPage) -> None:
    """They have no tokens to compare, and the page called any two of them the same."""
    with staging(allow_thoughts=False) as stage:
        playground = open_page(stage.url)
        playground.watch.expected.append("status of 403")
        playground.ask()
        expect(playground.answer).to_contain_text("The sky turns red.")
        stage.engine.story = SHORT[:2]
        playground.page.get_by_role("button", name="Another seed").click()
        versus = playground.page.get_by_role("region", name="Side by side")
        expect(versus).to_contain_text("The answers differ.")
        cells = versus.get_by_role("cell")
        expect(cells.filter(has_text="The sky turns red.")).to_have_count(1)
        expect(versus.get_by_role("row", name=re.compile("^Tokens 5 2"))).to_be_visible()
