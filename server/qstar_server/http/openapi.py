"""`/openapi.json`: what FastAPI does not know of a route, and examples for the served model."""

import copy
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel

from qstar_infer.engine.protocol import ModelInfo
from qstar_server.process.engine_slot import EngineSlot

MODEL = "the served model"
"""Stands for the model's name in an example, which is known only when it is loaded."""

SWAGGER_UI = {
    "validatorUrl": None,  # another host
    "defaultModelsExpandDepth": -1,
    "displayRequestDuration": True,
}
"""Settings of the page at `/docs`. It asks no other host for anything."""

Examples = Mapping[str, Mapping[str, Any]]
"""Bodies of requests, by what they show."""

Mode = Literal["validation", "serialization"]

_JSON = "application/json"
_EVENTS = "text/event-stream"
_NEEDS_TEMPLATE = {"messages", "input"}
_SHOWS_THOUGHTS = {"show_thoughts", "include_reasoning", "thinking"}


def json_request(path: str, kind: type[BaseModel], examples: Examples) -> dict[str, Any]:
    """The `openapi_extra` of a POST route that reads its body with `json_body`.

    Args:
        examples: name the model as `MODEL`.
    """
    place = f"requestBody/content/{_escaped(_JSON)}/schema"
    content = {
        "schema": _schema(kind, path, place, mode="validation"),
        "examples": {name: {"value": dict(body)} for name, body in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {_JSON: content}}}


def event_stream(
    path: str, data: type[BaseModel], *, is_named: bool = False
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a POST route that answers with events where its request has `stream`.

    Args:
        data: what the data of an event is, as JSON.
        is_named: whether each event has a name, its type. If not, the last has the data `[DONE]`.
    """
    event = f"responses/200/content/{_escaped(_EVENTS)}/schema"
    place = f"{event}/properties/data/anyOf/0/contentSchema"
    whole = {
        "type": "string",
        "contentMediaType": _JSON,
        "contentSchema": _schema(data, path, place, mode="serialization"),
    }
    properties: dict[str, Any] = {
        "data": {"anyOf": [whole] if is_named else [whole, {"const": "[DONE]"}]}
    }
    if is_named:
        properties["event"] = {"type": "string"}
    schema = {
        "description": "One event.",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    return {200: {"content": {_EVENTS: {"schema": schema}}}}


def describe_app(app: FastAPI, slot: EngineSlot, *, allow_thoughts: bool) -> None:
    """Let `/openapi.json` name the release, and show only examples that the served model can run.

    Args:
        allow_thoughts: see `ServerConfig.allow_thoughts`.
    """
    app.version = metadata.version("qstar")
    build: Callable[[], dict[str, Any]] = app.openapi

    def schema() -> dict[str, Any]:
        engine = slot.engine
        whole = build()
        return whole if engine is None else _for_model(whole, engine.model, allow_thoughts)

    app.openapi = schema  # type: ignore[method-assign]


def _for_model(whole: dict[str, Any], model: ModelInfo, allow_thoughts: bool) -> dict[str, Any]:
    schema = copy.deepcopy(whole)
    for operations in schema["paths"].values():
        for operation in operations.values():
            body = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
            body["examples"] = {
                name: example
                for name, example in body.get("examples", {}).items()
                if _can_run(example["value"], model, allow_thoughts)
            }
            for holder in (*operation.get("parameters", ()), body):
                _name_model(holder, model.name)
    return schema


def _can_run(body: Mapping[str, Any], model: ModelInfo, allow_thoughts: bool) -> bool:
    if not _NEEDS_TEMPLATE.isdisjoint(body) and model.chat_template is None:
        return False
    return allow_thoughts or _SHOWS_THOUGHTS.isdisjoint(body)


def _name_model(holder: dict[str, Any], name: str) -> None:
    """Fill in the model's name in the examples of a parameter or a body."""
    for example in holder.get("examples", {}).values():
        if example["value"] == MODEL:
            example["value"] = name
        elif "model" in example["value"]:
            example["value"]["model"] = name


def _schema(kind: type[BaseModel], path: str, place: str, *, mode: Mode) -> dict[str, Any]:
    """The schema of a type. Its definitions lie inside of it, at a place of a POST route."""
    definitions = f"#/paths/{_escaped(path)}/post/{place}/$defs/"
    return kind.model_json_schema(mode=mode, ref_template=definitions + "{model}")


def _escaped(key: str) -> str:
    """A key as part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
