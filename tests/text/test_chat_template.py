"""Chat templates: what they render, and what happens when they refuse."""

from copy import copy
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from qstar_infer.errors import RequestError
from qstar_infer.text.chat_template import ChatTemplate, template_text
from qstar_infer.text.token_text import TokenText
from tests.text.tokenizer_kinds import tokenizer_of

CHATML = (
    "{% for each in messages %}{{ '<|' + each['role'] + '|>' + each['content'] + '<|/|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
HELLO = [{"role": "user", "content": "Hello {{ 7 * 7 }}"}]


def with_template(template: Any) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = copy(tokenizer_of("llama2"))
    tokenizer.chat_template = template
    return tokenizer


def render(template: Any, messages: list[dict[str, Any]] = HELLO, **settings: Any) -> str:
    return ChatTemplate(with_template(template), model_name="toy").render(messages, **settings)


def test_messages_are_text_not_templates() -> None:
    assert render(CHATML) == "<|user|>Hello {{ 7 * 7 }}<|/|><|assistant|>"
    assert render(CHATML, add_generation_prompt=False) == "<|user|>Hello {{ 7 * 7 }}<|/|>"


def test_the_last_message_is_left_open() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Well, "}]
    text = render(CHATML, messages, add_generation_prompt=False, continue_final_message=True)
    assert text == "<|user|>Hello {{ 7 * 7 }}<|/|><|assistant|>Well, "


def test_options_are_variables_of_the_template() -> None:
    template = "{{ messages[0]['content'] }}{% if enable_thinking is false %}!{% endif %}"
    assert render(template).endswith("}}")
    assert render(template, options={"enable_thinking": False}).endswith("}}!")


def test_with_several_templates_tools_have_their_own() -> None:
    templates = {"default": "plain", "tool_use": "{{ tools[0].function.name }}"}
    tool = {"type": "function", "function": {"name": "look"}}
    assert render(templates) == "plain"
    assert render(templates, tools=[tool]) == "look"
    assert template_text(with_template(templates)) == templates["tool_use"]
    assert template_text(with_template({"default": "plain"})) == "plain"


def test_the_beginning_of_sequence_comes_once() -> None:
    template = "{{ bos_token }}{{ messages[0]['content'] }}"
    tokenizer = with_template(template)
    text = ChatTemplate(tokenizer, model_name="toy").render([{"role": "user", "content": "the"}])
    ids = TokenText(tokenizer).encode(text, add_special_tokens=False)
    assert ids == tokenizer("the").input_ids
    assert ids[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("template", [None, ""])
def test_a_model_without_a_template_says_so(template: str | None) -> None:
    assert template_text(with_template(template)) is None
    with pytest.raises(RequestError, match="toy has no chat template") as caught:
        render(template)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('System role not supported.') }}", "System role not supported"),
        ("{{ messages[0]['nothing'] + 'a' }}", "has no attribute 'nothing'"),
        ("{{ messages[0]['content'] + 1 }}", "can only concatenate str"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages.__class__.__mro__ }}", "is unsafe"),
        ("{{ raise_exception('x' * 5000) }}", "xxx"),
    ],
)
def test_a_template_that_fails_refuses_the_request(template: str, reason: str) -> None:
    with pytest.raises(RequestError, match="the chat template of toy refuses") as caught:
        render(template)
    assert reason in str(caught.value)
    assert caught.value.param == "messages"
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("error", [TemplateError("no"), MemoryError()])
def test_any_error_of_a_template_is_the_requests(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    tokenizer = with_template(CHATML)
    monkeypatch.setattr(tokenizer, "apply_chat_template", fail)
    with pytest.raises(RequestError, match="no|MemoryError"):
        ChatTemplate(tokenizer, model_name="toy").render(HELLO)
