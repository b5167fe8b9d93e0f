"""The form that a request asks for, as the source of an llguidance grammar."""

import json
import re
from collections.abc import Iterator
from typing import Any

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from qstar_infer.constraints.schema_check import check_schema
from qstar_infer.errors import RequestError
from qstar_infer.structured_outputs import StructuredOutputs

_MAX_ERROR_CHARS = 500
_NO_FORCING = '\n%llguidance {"no_forcing": true}\n'
"""Where only one text can follow, llguidance otherwise allows only the first token of it as the
tokenizer would cut it. The model may choose any. At the end: the last such line counts."""
_JSON_OPTIONS = {
    # A model that has lost its way may write white space for ever.
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,16}",
    "lenient": False,
    "coerce_one_of": False,
}
"""In place of what a schema itself may say under the key "x-guidance"."""
_NAMES = {
    "json": "JSON schema",
    "json_object": "JSON object",
    "regex": "regex",
    "choice": "choice",
    "grammar": "grammar",
}
_PLACE = re.compile(r"^(at )?\d+\(\d+\): (failed to compile JSON schema: )?")
_JSON_DIRECTIVE = re.compile(r"%json\s*")
_DECODER = json.JSONDecoder()
_EXCERPT = re.compile(r"\n\s*\d+ \| ")


def grammar_source(form: StructuredOutputs) -> str:
    """The source, in Lark's syntax. Only compiling it tells whether it can be followed.

    Raises:
        RequestError: it is malformed.
    """
    try:
        return _source(form) + _NO_FORCING
    except Exception as error:  # the converter of GBNF raises plain ones
        raise cannot_follow(form, str(error)) from None


def cannot_follow(form: StructuredOutputs, why: str) -> RequestError:
    """The error of a form that is malformed or not supported."""
    if form.kind != "grammar":  # places and excerpts are of our source, not of the client's
        why = _PLACE.sub("", _EXCERPT.split(why)[0])
    short = why if len(why) <= _MAX_ERROR_CHARS else why[:_MAX_ERROR_CHARS] + "..."
    return RequestError(
        f"{form.param}: the {_NAMES[form.kind]} cannot be followed: {short}", param=form.param
    )


def _source(form: StructuredOutputs) -> str:
    if form.regex is not None:
        return f"start: /{regex_to_lark(form.regex, '')}/"
    if form.grammar is not None:
        for schema in _schemas_in(form.grammar):
            check_schema(schema)
        return any_to_lark(form.grammar)
    if form.choice is not None:
        return f"start: /{regex_to_lark('|'.join(map(re.escape, form.choice)), '')}/"
    schema = {"type": "object"} if form.json is None else json.loads(str(form.json))
    if schema is False:
        raise ValueError("the schema is false, which no JSON satisfies")
    check_schema(schema)
    schema = ({} if schema is True else schema) | {"x-guidance": _JSON_OPTIONS}
    return f"start: %json {json.dumps(schema, ensure_ascii=False)}"


def _schemas_in(grammar: str) -> Iterator[Any]:
    """The JSON schemas that a grammar has behind `%json`."""
    place = _JSON_DIRECTIVE.search(grammar)
    while place is not None:
        try:
            schema, end = _DECODER.raw_decode(grammar, place.end())
        except ValueError:
            raise ValueError("%json must be followed by a JSON schema") from None
        yield schema
        place = _JSON_DIRECTIVE.search(grammar, end)
