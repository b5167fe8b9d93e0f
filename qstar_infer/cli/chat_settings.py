"""What `/settings` of a chat shows and sets: parameters of the next answers."""

import re
from dataclasses import replace
from typing import Any

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.errors import RequestError, shown
from qstar_infer.sampling_params import SamplingParams

NONE = "none"
SETTINGS: dict[str, str] = {
    "temperature": "",
    "top_p": "",
    "top_k": "",
    "min_p": "",
    "seed": "a new one each time",
    "max_tokens": "512, or as many as fit",
    "num_thought_tokens": "as trained",
    "thought_temperature": "the checkpoint's",
    "think_threshold": "no thought is skipped",
}
"""Fields of `SamplingParams`, and what `none` means; empty where it is not allowed."""
_INTEGER = re.compile(r"[-+]?\d+")


def settings_text(params: SamplingParams) -> str:
    """A line for each setting, with its value."""
    width = max(map(len, SETTINGS))
    return "\n".join(f"{name:{width}}  {_value_text(params, name)}" for name in SETTINGS)


def with_setting(params: SamplingParams, name: str, value: str, info: ModelInfo) -> SamplingParams:
    """The parameters with another value, written as the user typed it.

    Raises:
        RequestError: there is no such setting, or it cannot have this value.
    """
    if name not in SETTINGS:
        raise RequestError(f"there is no setting {shown(name)}; it may be {', '.join(SETTINGS)}")
    changed = replace(params, **{name: _parsed(name, value)})
    most = info.max_thought_tokens
    if changed.num_thought_tokens is not None and changed.num_thought_tokens > most:
        raise RequestError(f"num_thought_tokens may be at most {most} for {info.name}, got {value}")
    return changed


def _parsed(name: str, value: str) -> Any:
    if value == NONE and SETTINGS[name]:
        return None
    if _INTEGER.fullmatch(value) and len(value) < 20:
        return int(value)
    try:
        return float(value)
    except ValueError:
        or_none = f", or {NONE}" if SETTINGS[name] else ""
        raise RequestError(f"{name} must be a number{or_none}, got {shown(value)}") from None


def _value_text(params: SamplingParams, name: str) -> str:
    value = getattr(params, name)
    return f"{NONE}: {SETTINGS[name]}" if value is None else f"{value:g}"
