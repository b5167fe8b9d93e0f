"""The known formats of tool calls. A chat template shows which one its model was trained with."""

import json
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from qstar_server.conversation.conversation import Tool
from qstar_server.conversation.tool_calls.hermes import BEGIN, END, HermesParser
from qstar_server.conversation.tool_calls.llama import LlamaParser
from qstar_server.conversation.tool_calls.parser import ToolCallParser

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_JSON_STYLE = {
    "x-guidance": {
        # As templates write JSON. With free white space, a lost model may write it for ever.
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        # These a tool's schema could set by itself.
        "lenient": False,
        "coerce_one_of": False,
    }
}
"""Options of llguidance, as a part of a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFormat:
    """How a model writes its calls."""

    is_in: Callable[[str], bool]
    """Whether a chat template shows this format."""
    parser: Callable[[Container[str], bool], ToolCallParser]
    """A parser for one answer, from the names of the tools and whether calls may be parallel."""
    grammar: Callable[[Sequence[Tool], bool], str]
    """A grammar in Lark's syntax of texts that call one of these tools, or several if parallel."""


def find_format(template: str) -> ToolFormat | None:
    """The format that a chat template shows; None if it is not known."""
    return next((each for each in (HERMES, LLAMA) if each.is_in(template)), None)


def takes_tools(template: str) -> bool:
    """Whether a chat template reads the tools of a request at all."""
    return re.search(r"\btools\b", template) is not None


def _is_hermes(template: str) -> bool:
    # Other models write XML between the same markers.
    has_json = re.search(r'\\?"arguments\\?"', template) is not None
    return BEGIN in template and has_json and "<function=" not in template


def _is_llama(template: str) -> bool:
    return re.search(r'\\?"parameters\\?": dictionary', template) is not None


def _hermes_grammar(tools: Sequence[Tool], is_parallel: bool) -> str:
    more = ' ("\\n" call)*' if is_parallel else ""
    begin, end = json.dumps(f"{BEGIN}\n"), json.dumps(f"\n{END}")
    rules = _call_rules(tools, "arguments")
    return f"start: call{more}\ncall: {begin} body {end}\n{rules}"


def _llama_grammar(tools: Sequence[Tool], is_parallel: bool) -> str:
    del is_parallel  # there is only one call in an answer
    return "start: body\n" + _call_rules(tools, "parameters")


def _call_rules(tools: Sequence[Tool], arguments_key: str) -> str:
    """Rules of which `body` is a call of any of these tools."""
    numbers = range(len(tools))
    rules = [f"body: {' | '.join(f'call_{number}' for number in numbers)}"]
    for number, tool in zip(numbers, tools, strict=True):
        # Each schema is a root of its own, to which its references point.
        head = json.dumps(f'{{"name": "{tool.name}", "{arguments_key}": ')
        schema = _NO_ARGUMENTS if tool.parameters is None else {"type": "object", **tool.parameters}
        rules.append(f'call_{number}: {head} arguments_{number} "}}"')
        rules.append(f"arguments_{number}: %json {json.dumps({**schema, **_JSON_STYLE})}")
    return "\n".join(rules) + "\n"


HERMES = ToolFormat(
    is_in=_is_hermes,
    parser=lambda names, is_parallel: HermesParser(names, is_parallel=is_parallel),
    grammar=_hermes_grammar,
)
LLAMA = ToolFormat(
    is_in=_is_llama,
    parser=lambda names, _: LlamaParser(names),
    grammar=_llama_grammar,
)
