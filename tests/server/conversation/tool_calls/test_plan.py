"""What the tools of a request mean, for the chat templates of several models."""

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer
from qstar_server.conversation.conversation import Tool
from qstar_server.conversation.tool_calls.hermes import HermesParser
from qstar_server.conversation.tool_calls.llama import LlamaParser
from qstar_server.conversation.tool_calls.plan import NamedTool, ToolChoice, ToolPlan, plan_tools

from qstar_infer.errors import RequestError
from tests.server.conversation.tool_calls.templates import (
    CHATML,
    HERMES_3,
    LLAMA_3_1,
    QWEN_2_5,
    QWEN_3_CODER,
)

LOOK = Tool(
    name="look",
    parameters={"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
)
STOP = Tool(name="stop")


def plan(
    template: str | None, choice: ToolChoice | None = None, *, is_parallel: bool = True
) -> ToolPlan:
    return plan_tools([LOOK, STOP], choice, template=template, is_parallel=is_parallel)


@pytest.mark.parametrize(
    ("template", "parser"),
    [(HERMES_3, HermesParser), (QWEN_2_5, HermesParser), (LLAMA_3_1, LlamaParser)],
)
def test_the_template_shows_the_format(template: str, parser: type) -> None:
    assert isinstance(plan(template).parser(), parser)
    assert plan(template).grammar is None


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (CHATML, "takes no tools"),
        (None, "takes no tools"),
        (QWEN_3_CODER, "no format of tool calls that this server knows"),
    ],
)
def test_other_templates_are_refused(template: str | None, why: str) -> None:
    with pytest.raises(RequestError, match=why) as caught:
        plan(template)
    assert caught.value.param == "tools"
    assert plan(template, "none") == ToolPlan()


def test_a_choice_must_fit_the_tools() -> None:
    with pytest.raises(RequestError, match="names 'other'") as caught:
        plan(QWEN_2_5, NamedTool("other"))
    assert caught.value.param == "tool_choice"
    needing: list[ToolChoice] = ["required", NamedTool("look")]
    for choice in needing:
        with pytest.raises(RequestError, match="there are no tools"):
            plan_tools([], choice, template=QWEN_2_5, is_parallel=True)
    others: list[ToolChoice | None] = [None, "none", "auto"]
    for other in others:
        assert plan_tools([], other, template=None, is_parallel=True).parser() is None


BYTES = LLTokenizer("byte")


def accepts(grammar: str | None, text: str) -> bool:
    """Whether llguidance accepts the whole text."""
    assert grammar is not None
    assert LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar)) == ""
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(grammar))
    data = list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


def call(name: str, key: str = "arguments", **arguments: Any) -> str:
    return json.dumps({"name": name, key: arguments})


def hermes(*calls: str) -> str:
    return "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in calls)


def test_a_required_hermes_call_follows_its_schema() -> None:
    grammar = plan(QWEN_2_5, "required").grammar
    assert accepts(grammar, hermes(call("look", at="x")))
    assert accepts(grammar, hermes(call("look", at="x"), call("stop")))
    for wrong in (call("look"), call("look", at=1), call("other"), call("stop", a=1)):
        assert not accepts(grammar, hermes(wrong))
    assert not accepts(grammar, "Hello")
    one = plan(QWEN_2_5, "required", is_parallel=False).grammar
    assert accepts(one, hermes(call("stop")))
    assert not accepts(one, hermes(call("stop"), call("stop")))


def test_references_point_into_their_own_schema() -> None:
    """Pydantic's nested models are references to the root of the tool's schema."""
    nested = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}},
        "required": ["at"],
        "$defs": {"Place": {"type": "integer"}},
    }
    tools = [Tool(name="f", parameters=nested), Tool(name="g", parameters={})]
    grammar = plan_tools(tools, "required", template=QWEN_2_5, is_parallel=True).grammar
    assert accepts(grammar, hermes(call("f", at=1)))
    assert not accepts(grammar, hermes(call("f", at="x")))
    assert accepts(grammar, hermes(call("g", any="x")))
    assert not accepts(grammar, hermes('{"name": "g", "arguments": 1}'))


def test_a_schema_cannot_write_rules_or_options() -> None:
    hostile = {
        "type": "object",
        "description": '"}\nstart: "x"\n// %json {',
        "x-guidance": {"lenient": True, "whitespace_flexible": True},
    }
    tools = [Tool(name="f", parameters=hostile)]
    grammar = plan_tools(tools, "required", template=QWEN_2_5, is_parallel=True).grammar
    assert accepts(grammar, hermes(call("f", at=1)))
    assert not accepts(grammar, "x")
    assert not accepts(grammar, hermes('{"name": "f", "arguments": {\n\n}}'))


def test_a_named_tool_is_called_once() -> None:
    named = plan(QWEN_2_5, NamedTool("stop"))
    assert not named.is_parallel
    assert accepts(named.grammar, hermes(call("stop")))
    assert not accepts(named.grammar, hermes(call("look", at="x")))
    assert [tool.name for tool in named.tools] == ["look", "stop"]


def test_a_required_llama_call_follows_its_schema() -> None:
    grammar = plan(LLAMA_3_1, "required").grammar
    assert accepts(grammar, call("look", "parameters", at="x"))
    assert not accepts(grammar, call("look", "parameters", at=1))
    assert not accepts(grammar, call("other", "parameters"))
