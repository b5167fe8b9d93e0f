"""The known formats of tool calls. A chat template shows which one its model was trained with."""

import json
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstar_server.conversation import Tool
from qstar_server.tool_calls.hermes import BEGIN, END, HermesParser
from qstar_server.tool_calls.llama import LlamaParser
from qstar_server.tool_calls.parser import ToolCallParser

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


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
    return (
        f"start: call{more}\n"
        f'call: "{BEGIN}\\n" body "\\n{END}"\n'
        f"body: %json {_call_schema(tools, 'arguments')}\n"
    )


def _llama_grammar(tools: Sequence[Tool], is_parallel: bool) -> str:
    del is_parallel  # there is only one call in an answer
    return f"start: %json {_call_schema(tools, 'parameters')}\n"


def _call_schema(tools: Sequence[Tool], arguments_key: str) -> str:
    """A JSON schema of the calls of any of these tools."""
    each = [_schema_of(tool, arguments_key) for tool in tools]
    return json.dumps(each[0] if len(each) == 1 else {"anyOf": each})


def _schema_of(tool: Tool, arguments_key: str) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            arguments_key: _NO_ARGUMENTS if tool.parameters is None else dict(tool.parameters),
        },
        "required": ["name", arguments_key],
        "additionalProperties": False,
    }


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
