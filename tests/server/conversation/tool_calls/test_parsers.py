"""Tool calls in text: what is a call, what stays content, and that cutting changes nothing."""

import random

import pytest
from qstar_server.conversation.tool_calls.hermes import HermesParser
from qstar_server.conversation.tool_calls.llama import LlamaParser
from qstar_server.conversation.tool_calls.parser import Found, FoundCall, ToolCallParser

NAMES = {"look", "add"}
LOOK = '<tool_call>\n{"name": "look", "arguments": {"at": "é<b>"}}\n</tool_call>'
ADD = '<tool_call>{"arguments": {"a": 1, "b": [2.5, null]}, "name": "add"}</tool_call>'
LOOKED = FoundCall("look", '{"at": "é<b>"}')
ADDED = FoundCall("add", '{"a": 1, "b": [2.5, null]}')

HERMES = [
    ("Hello, 1 < 2 <tool", "Hello, 1 < 2 <tool", []),
    (" a\n b \n", " a\n b \n", []),
    ("", "", []),
    (LOOK, "", [LOOKED]),
    (f"\n\n{LOOK}\n{ADD}\n", "", [LOOKED, ADDED]),
    (f"I look.\n{LOOK}", "I look.", [LOOKED]),
    (f"I look. {LOOK} And add: {ADD} Done.\n", "I look. And add: Done.", [LOOKED, ADDED]),
    (f"<{LOOK}", "<", [LOOKED]),
    (LOOK.removesuffix("</tool_call>"), "", [LOOKED]),
    ('<tool_call>{"name": "look"}</tool_call>', "", [FoundCall("look", "{}")]),
]
NOT_CALLS = [
    'x <tool_call>{"name": "look", "arguments": {</tool_call> y',
    '<tool_call>{"name": "look", "arguments": {"a": NaN}}</tool_call>',
    '<tool_call>{"name": "look", "arguments": {"a": 1e999}}</tool_call>',
    '<tool_call>{"name": "look", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
    '<tool_call>{"arguments": {}}</tool_call>',
    "<tool_call>[]</tool_call>",
    "<tool_call>" + "[" * 100_000 + "</tool_call>",
    '\n <tool_call>{"name": "look", ',
    "a </tool_call> b",
]


def read(parser: ToolCallParser, pieces: list[str]) -> Found:
    whole = Found()
    for found in [*(parser.push(piece) for piece in pieces), parser.flush()]:
        whole.content += found.content
        whole.calls += found.calls
    return whole


def hermes(pieces: list[str], *, is_parallel: bool = True) -> Found:
    return read(HermesParser(NAMES, is_parallel=is_parallel), pieces)


def cuts_of(text: str) -> list[list[str]]:
    """The text in one piece, in characters, and in random pieces."""
    generator = random.Random(text)
    cuts = [[text], list(text)]
    for _ in range(10):
        places = sorted(generator.choices(range(len(text) + 1), k=5))
        cuts.append([text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)])
    return cuts


@pytest.mark.parametrize(("text", "content", "calls"), HERMES)
def test_hermes_calls_and_content(text: str, content: str, calls: list[FoundCall]) -> None:
    for pieces in cuts_of(text):
        assert hermes(pieces) == Found(content, calls)


@pytest.mark.parametrize("text", NOT_CALLS)
def test_what_is_no_valid_call_stays_content(text: str) -> None:
    for pieces in [[text], [text[:13], text[13:]], *(cuts_of(text) if len(text) < 999 else [])]:
        assert hermes(pieces) == Found(text, [])


def test_content_is_not_held_back_longer_than_it_must() -> None:
    parser = HermesParser(NAMES, is_parallel=True)
    assert parser.push("1 <").content == "1"
    assert parser.push("2").content == " <2"
    assert parser.push(" <tool_").content == ""
    assert parser.push("box>").content == " <tool_box>"
    assert parser.push("\n").content == ""
    assert parser.flush().content == "\n"


def test_without_parallel_calls_the_answer_ends_behind_the_first() -> None:
    text = f"I look. {LOOK} And add: {ADD} Done."
    for pieces in cuts_of(text):
        assert hermes(pieces, is_parallel=False) == Found("I look.", [LOOKED])


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ('{"name": "look", "parameters": {"at": 1}}', "", [FoundCall("look", '{"at": 1}')]),
        (' \n{"name": "add", "parameters": {}} ', "", [FoundCall("add", "{}")]),
        ('Use {"name": "look", "parameters": {}}', 'Use {"name": "look", "parameters": {}}', []),
        ('{"name": "other", "parameters": {}}', '{"name": "other", "parameters": {}}', []),
        ('{"name": "look", "parameters": ', '{"name": "look", "parameters": ', []),
        ("  Hello", "  Hello", []),
        ("", "", []),
    ],
)
def test_llama_calls_and_content(text: str, content: str, calls: list[FoundCall]) -> None:
    for pieces in cuts_of(text):
        assert read(LlamaParser(NAMES), pieces) == Found(content, calls)
