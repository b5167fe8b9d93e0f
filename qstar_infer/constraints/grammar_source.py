"""The form that a request asks for, as the source of an llguidance grammar."""

import json
from typing import TYPE_CHECKING

from llguidance import LLMatcher, grammar_from

from qstar_infer.errors import RequestError
from qstar_infer.structured_outputs import StructuredOutputs

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_MAX_ERROR_CHARS = 500
_JSON_OPTIONS: "JsonCompileOptions" = {
    # A model that has lost its way may write white space for ever.
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,16}",
    # These a schema could set by itself, under the key "x-guidance".
    "lenient": False,
    "coerce_one_of": False,
}


def grammar_source(form: StructuredOutputs) -> str:
    """The source. Only compiling it tells whether it can be followed.

    Raises:
        RequestError: it is malformed.
    """
    try:
        return _source(form)
    except (ValueError, RecursionError) as error:
        raise cannot_follow(form, str(error)) from None


def cannot_follow(form: StructuredOutputs, why: str) -> RequestError:
    """The error of a form that is malformed or not supported."""
    short = why if len(why) <= _MAX_ERROR_CHARS else why[:_MAX_ERROR_CHARS] + "..."
    return RequestError(
        f"{form.param}: the {_NAMES[form.kind]} cannot be followed: {short}", param=form.param
    )


_NAMES = {
    "json": "JSON schema",
    "json_object": "JSON object",
    "regex": "regex",
    "choice": "choice",
    "grammar": "grammar",
}


def _source(form: StructuredOutputs) -> str:
    if form.regex is not None:
        return LLMatcher.grammar_from_regex(form.regex)
    if form.grammar is not None:
        return grammar_from("grammar", form.grammar)
    if form.choice is not None:
        options = " | ".join(json.dumps(text, ensure_ascii=False) for text in form.choice)
        return LLMatcher.grammar_from_lark(f"start: {options}")
    schema = '{"type": "object"}' if form.json is None else str(form.json)
    if schema == "false":
        raise ValueError("the schema is false, which no JSON satisfies")
    return LLMatcher.grammar_from_json_schema(
        "{}" if schema == "true" else schema, overrides=_JSON_OPTIONS
    )
