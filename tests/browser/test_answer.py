"""A prompt, the answer that streams in, its shades, and the thought of a token."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.stage import Stage, staging
from tests.browser.stories import HOSTILE, HOSTILE_TEXTS, SHORT

CLEAR = "rgba(0, 0, 0, 0)"


def colour(text: str) -> tuple[int, int, int, float]:
    """Red, green, blue and opacity of a colour as CSS computes it."""
    red, green, blue, *alpha = (float(part) for part in re.findall(r"[\d.]+", text))
    return int(red), int(green), int(blue), alpha[0] if alpha else 1.0


def test_the_first_sight_has_an_example_and_says_what_will_be_seen(
    playground: Playground, stage: Stage
) -> None:
    expect(playground.page).to_have_title(re.compile("qstar"))
    expect(playground.page.get_by_text(stage.engine.model.name).first).to_be_visible()
    expect(playground.prompt).not_to_have_value("")
    expect(playground.generate).to_be_enabled()
    playground.generate.click()
    playground.wait_for_end(len(SHORT))
    assert len(stage.engine.submitted) == 1


def test_tokens_stream_in_one_by_one(playground: Playground, stage: Stage) -> None:
    stage.engine.pause_after = 2
    playground.ask()
    expect(playground.tokens).to_have_count(2)
    expect(playground.answer).to_contain_text("The sky")
    expect(playground.stop).to_be_visible()
    stage.engine.resume()
    playground.wait_for_end(len(SHORT))
    expect(playground.answer).to_contain_text("The sky turns red.")


def test_stop_keeps_what_came(playground: Playground, stage: Stage) -> None:
    stage.engine.pause_after = 3
    playground.ask()
    expect(playground.tokens).to_have_count(3)
    playground.stop.click()
    expect(playground.generate).to_be_enabled()
    playground.wait_for_end(3)
    expect(playground.alert).to_have_count(0)
    assert stage.engine.aborted


def test_shades_show_the_weight_or_the_change(playground: Playground) -> None:
    playground.ask()
    playground.wait_for_end(len(SHORT))
    assert colour(playground.shading(0))[3] == 0
    red, green, blue, alpha = colour(playground.shading(2))
    assert (red, green, blue) == (240, 140, 0)
    assert abs(alpha - 0.55 * SHORT[2].mixing_weight) < 0.02
    playground.page.get_by_role("radio", name="Change").check()
    assert colour(playground.shading(0))[3] == 0
    more, less = colour(playground.shading(2)), colour(playground.shading(3))
    assert more[:3] == (0, 114, 178)
    assert abs(more[3] - 0.55) < 0.02, "3 nats are the deepest shade"
    assert less[:3] == (213, 94, 0)
    assert abs(less[3] - 0.55 / 3) < 0.02


def test_a_token_opens_on_its_thought(playground: Playground) -> None:
    playground.ask()
    playground.wait_for_end(len(SHORT))
    playground.token(2).click()
    inspector = playground.inspector
    expect(inspector).to_be_visible()
    for text in ("turns", "dusk comes", "78 %", "3.9 %", "0.75", "+3.00 nats"):
        expect(inspector).to_contain_text(text)
    playground.token(0).click()
    expect(inspector).not_to_contain_text("dusk comes")


def test_nothing_is_pinned_at_first(playground: Playground) -> None:
    """All tokens without a thought look alike; once the first looked as if it were pinned."""
    playground.ask()
    playground.wait_for_end(len(SHORT))
    line = "element => getComputedStyle(element).textDecorationLine"
    assert [playground.token(index).evaluate(line) for index in (0, 1, 4)] == ["none"] * 3


def test_two_pinned_tokens_stand_side_by_side(playground: Playground) -> None:
    playground.ask()
    playground.wait_for_end(len(SHORT))
    for index in (1, 2):
        playground.token(index).click()
        playground.page.get_by_role("button", name="Pin", exact=True).click()
    for text in ("above is", "dusk comes"):
        expect(playground.compared).to_contain_text(text)


def test_a_chat_has_turns(playground: Playground, stage: Stage) -> None:
    playground.page.get_by_role("radio", name="Chat").check()
    for question in ("First?", "Second?"):
        playground.ask(question)
        playground.wait_for_end(len(SHORT))
    said = stage.engine.render_calls[-1]["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", "user"]
    assert [each["content"] for each in said] == ["First?", "The sky turns red.", "Second?"]


def test_what_a_model_wrote_is_text(open_page: OpenPage) -> None:
    """Markup, terminal escapes and control characters, in tokens, thoughts and alternatives."""
    with staging(HOSTILE) as stage:
        playground = open_page(stage.url)
        num_elements = playground.page.locator("script, img, style, a").count()
        playground.ask()
        playground.wait_for_end(len(HOSTILE))
        for index, text in enumerate(HOSTILE_TEXTS):
            playground.token(index).click()
            if text.isprintable():
                expect(playground.token(index)).to_contain_text(text.strip())
                expect(playground.inspector).to_contain_text(text.strip())
        shown = playground.answer.inner_text()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", shown)
        assert playground.page.evaluate("window.hacked") is None
        assert playground.page.locator("script, img, style, a").count() == num_elements
