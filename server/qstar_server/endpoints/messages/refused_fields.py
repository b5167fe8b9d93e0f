"""Fields of Anthropic's messages endpoint that this server cannot honour, and names it uses not.

Each is refused by name, because ignoring it would give another result than the client expects.
"""

from collections.abc import Mapping
from typing import Any

from qstar_infer.errors import RequestError
from qstar_server.generation.generation_request import GenerationRequest

_REFUSED = {
    "container": "this server runs no code; leave it out",
    "mcp_servers": "this server calls no tools itself; give them in tools",
    "context_management": "shorten messages instead",
    "inference_geo": "leave it out",
    "diagnostics": "leave it out",
    "fallbacks": "leave it out",
    "max_completion_tokens": "this endpoint calls it max_tokens",
    "max_tokens_to_sample": "this endpoint calls it max_tokens",
    "stop": "this endpoint calls it stop_sequences",
    "response_format": "this endpoint calls it output_config.format",
    "output_format": "this endpoint calls it output_config.format",
    "reasoning_effort": "this endpoint calls it output_config.effort",
    "show_thoughts": 'this endpoint shows thoughts with thinking: {"type": "adaptive"}',
    "include_reasoning": 'this endpoint shows thoughts with thinking: {"type": "adaptive"}',
}


def check_refused_fields(extra_fields: Mapping[str, Any]) -> None:
    """
    Raises:
        RequestError: a field is one of those above, or one that only the other endpoints have;
            `param` names it.
    """
    for name, value in extra_fields.items():
        # False is what a client sends that does not want it.
        if value is None or value is False:
            continue
        if name in _REFUSED:
            raise RequestError(f"{name} is not supported: {_REFUSED[name]}", param=name)
        if name in GenerationRequest.model_fields:
            raise RequestError(f"{name} is not supported by this endpoint", param=name)


def without_refused(extra_fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are ignored: those that `check_refused_fields` does not know."""
    known = {*_REFUSED, *GenerationRequest.model_fields}
    return {name: value for name, value in extra_fields.items() if name not in known}
