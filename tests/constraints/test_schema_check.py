"""What llguidance would follow otherwise than it says, or crash on, is refused."""

import json
from typing import Any

import jsonschema
import pytest

from qstar_infer.errors import RequestError

from .matchers import ids_of, next_texts, start

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def refusal(**form: Any) -> str:
    with pytest.raises(RequestError) as caught:
        start(**form)
    assert caught.value.param == "structured_outputs"
    return str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        # Each of these ends the process if it reaches llguidance.
        {"const": SMALLEST},
        {"enum": ["a", {"b": [SMALLEST]}]},
        {"type": "integer", "minimum": SMALLEST, "maximum": SMALLEST},
        {"type": "integer", "minimum": -1e19, "maximum": -1e19},
        {"properties": {"const": {"type": "integer", "minimum": -1e19, "maximum": -1e19}}},
        # These become other numbers.
        {"const": 2**53 + 1},
        {"enum": [12345678901234567890]},
        {"const": 10**400},
        {"type": "integer", "minimum": 2**53 + 1},
        {"type": "integer", "minimum": 10**30, "maximum": 10**31},
        {"type": "integer", "exclusiveMaximum": -(10**30)},
        {"$defs": {"a": {"anyOf": [{"const": SMALLEST}]}}, "$ref": "#/$defs/a/anyOf/0"},
    ],
)
def test_numbers_that_are_not_followed_exactly_are_refused(schema: dict[str, Any]) -> None:
    assert "too large to be followed exactly" in refusal(json=schema)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"const": 2**53}, str(2**53)),
        ({"const": 10**30}, str(10**30)),
        ({"const": -(2**53)}, str(-(2**53))),
        ({"type": "integer", "minimum": 0, "maximum": LARGEST}, str(LARGEST)),
        ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, str(LARGEST)),
        ({"type": "integer", "minimum": -(2**53), "maximum": 2**53}, str(2**53)),
    ],
)
def test_long_numbers_that_are_followed_exactly(schema: dict[str, Any], text: str) -> None:
    matcher = start(json=schema)
    matcher.allowed_after(ids_of(text))
    assert matcher.error_after(ids_of(text)) is None
    jsonschema.validate(json.loads(text), schema)


def test_a_bound_that_is_a_bool_is_refused() -> None:
    """As in draft 4, where it says that `minimum` itself is excluded."""
    schema = {"type": "integer", "minimum": 3, "exclusiveMinimum": True}
    assert "exclusiveMinimum must be a number" in refusal(json=schema)


def test_properties_that_may_come_twice_are_not_counted() -> None:
    schema = {"type": "object", "additionalProperties": True, "minProperties": 3}
    assert "minProperties" in refusal(json=schema)
    assert "minProperties" in refusal(json=schema | {"required": ["a", "a"]})
    start(json=schema | {"required": ["a", "b"]})
    start(json=schema | {"minProperties": 1})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "multipleOf": 99_999_999},
        {"type": "number", "multipleOf": 0.99999999},
        {"allOf": [{"type": "integer", "multipleOf": 9973}, {"multipleOf": 9967}]},
        {"allOf": [{"type": "string", "pattern": f"a{{{size},}}"} for size in range(50)]},
        {
            "$defs": {str(size): {"pattern": f"a{{{size},}}"} for size in range(50)},
            "allOf": [{"$ref": f"#/$defs/{size}"} for size in range(50)],
        },
    ],
)
def test_what_takes_minutes_or_gigabytes_to_compile_is_refused(schema: dict[str, Any]) -> None:
    assert "the most" in refusal(json=schema)


def test_usual_multiples_and_patterns_are_followed() -> None:
    parts = {"cents": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 9}}
    parts |= {"seconds": {"type": "integer", "multipleOf": 86_400, "minimum": 1}}
    parts |= {f"p{each}": {"type": "string", "pattern": "^[a-z]{2}$"} for each in range(30)}
    start(json={"type": "object", "properties": parts, "required": list(parts)})
    start(json={"allOf": [{"type": "string", "pattern": "a"}, {"maxLength": 9}]})


@pytest.mark.parametrize("keyword", ["items", "additionalProperties", "anyOf", "allOf"])
def test_a_long_chain_of_references_does_not_end_the_process(keyword: str) -> None:
    def schema_of(part: dict[str, Any]) -> dict[str, Any]:
        return {keyword: [part, {"minimum": 1}] if keyword.endswith("Of") else part}

    chain = {str(each): schema_of({"$ref": f"#/$defs/{each + 1}"}) for each in range(2000)}
    schema = {"$defs": chain | {"2000": {"type": "integer"}}, "$ref": "#/$defs/0"}
    try:
        matcher = start(json=schema)
    except RequestError:
        return  # too large is an answer too
    assert matcher.error_after(ids_of("")) is None


def test_schemas_inside_a_grammar_are_checked_too() -> None:
    grammar = (
        f'start: "<" %json {{"type": "boolean"}} | other\nother: %json\t{{"const": {SMALLEST}}}'
    )
    assert "too large to be followed exactly" in refusal(grammar=grammar)
    assert "must be followed by a JSON schema" in refusal(
        grammar='start: %json // {}\n {"const": 1}'
    )
    assert next_texts(
        start(grammar='start: "<" %json {"type": "null", "title": "%json"}'), "<n"
    ) == {"u"}


@pytest.mark.parametrize("key", ["item_separator", "key_separator", "whitespace_pattern"])
def test_a_schema_does_not_choose_how_json_is_written(key: str) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "x-guidance": {key: ";"}}
    text = ids_of("[true, false]")
    assert start(json=schema).allowed_after(text) is not None or start(json=schema).is_complete(
        text
    )
