"""Random JSON schemas whose values are short, so that a model that emits noise comes to an end."""

import random
from collections.abc import Callable
from typing import Any

KEYS = ("a", "b", "näme", "x y", 'q"', "id")
VALUES: tuple[Any, ...] = (None, True, False, 0, -7, 2.5, "", "yes", "né😀", 'a"b\\', [], [1, "x"])


def draw_schema(draw: random.Random, depth: int = 3) -> dict[str, Any]:
    """A schema that some JSON of at most some hundred bytes satisfies."""
    kinds: list[Callable[[random.Random, int], dict[str, Any]]]
    kinds = [_number, _text, _constant, _boolean]
    if depth > 0:
        kinds += [_object, _object, _array, _any_of, _reference]
    return draw.choice(kinds)(draw, depth - 1)


def _number(draw: random.Random, _: int) -> dict[str, Any]:
    low = draw.randint(-1200, 1000)
    bounds = {"minimum": low, "maximum": low + draw.choice([0, 3, 40, 5000])}
    if draw.random() < 0.3:
        bounds = {"exclusiveMinimum": low, "exclusiveMaximum": low + draw.randint(2, 30)}
    schema: dict[str, Any] = {"type": "integer", **bounds}
    if draw.random() < 0.2:
        schema = {
            "type": "integer",
            "minimum": 0,
            "maximum": 400,
            "multipleOf": draw.choice([5, 7]),
        }
    return schema


def _text(draw: random.Random, _: int) -> dict[str, Any]:
    return draw.choice(
        [
            {"type": "string", "maxLength": draw.randint(0, 5)},
            {"type": "string", "minLength": 1, "maxLength": 4},
            {"type": "string", "pattern": "^[a-f]{1,4}(-[0-9]{2})?$"},
            {"type": "string", "pattern": "^(ja|nein)$"},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "uuid"},
        ]
    )


def _constant(draw: random.Random, _: int) -> dict[str, Any]:
    if draw.random() < 0.3:
        return {"const": draw.choice(VALUES)}
    return {"enum": draw.sample(VALUES, draw.randint(1, 5))}


def _boolean(draw: random.Random, _: int) -> dict[str, Any]:
    return draw.choice([{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}])


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    keys = draw.sample(KEYS, draw.randint(0, 4))
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key: draw_schema(draw, depth) for key in keys},
        "required": [key for key in keys if draw.random() < 0.7],
        "additionalProperties": False,
    }
    if draw.random() < 0.3:
        schema |= {"title": "T", "description": "ignored", "$comment": "ignored"}
    return schema


def _array(draw: random.Random, depth: int) -> dict[str, Any]:
    if draw.random() < 0.3:
        items = [draw_schema(draw, depth) for _ in range(draw.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    most = draw.randint(0, 3)
    return {
        "type": "array",
        "items": draw_schema(draw, depth),
        "minItems": draw.randint(0, most),
        "maxItems": most,
    }


def _any_of(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [draw_schema(draw, depth) for _ in range(draw.randint(1, 3))]}


def _reference(draw: random.Random, depth: int) -> dict[str, Any]:
    name = f"d{draw.randrange(10**6)}"
    # Beside the reference, so that it is found wherever the schema becomes a part of another.
    return {"$ref": f"#/$defs/{name}", "$defs": {name: draw_schema(draw, depth)}}


def with_definitions_on_top(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with all `$defs` at its root, where references look for them."""
    definitions: dict[str, Any] = {}

    def lift(value: Any) -> Any:
        if isinstance(value, list):
            return [lift(each) for each in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("$defs"), dict):
            definitions.update({name: lift(each) for name, each in value["$defs"].items()})
        return {key: lift(each) for key, each in value.items() if key != "$defs"}

    lifted: dict[str, Any] = lift(schema)
    return {**lifted, "$defs": definitions} if definitions else lifted
