"""JSON schemas as Markdown tables, for people."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
_NULL = {"type": "null"}
_UNITS = {"": "", "Length": " characters", "Items": " of them"}


class SchemaTables:
    """The schemas of one page. What they refer to gets a section of its own, once.

    Args:
        document: the OpenAPI document that the references point into.
        meanings: what fields mean whose schema does not say it, by name.
    """

    def __init__(self, document: Json, meanings: Mapping[str, str]) -> None:
        self._document = document
        self._meanings = meanings
        self._anchors: dict[str, str] = {}
        self._sections: list[tuple[str, Json, str]] = []

    def request_table(self, schema: Json) -> str:
        """One row for each field of a request. A null counts as absent, so no row speaks of it."""
        return self._table(schema, nulls=False)

    def kind(self, schema: Json, *, nulls: bool = True) -> str:
        """What a value may be, in words; `nulls`: whether to say that it may be null."""
        if "$ref" in schema:
            return self._link(schema["$ref"])
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            kinds = [self.kind(each, nulls=nulls) for each in choices if nulls or each != _NULL]
            return " or ".join(dict.fromkeys(kinds))
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
        if "contentSchema" in schema:
            return "JSON of " + self.kind(schema["contentSchema"], nulls=nulls)
        return self._plain(schema, nulls=nulls) + _bounds(schema)

    def sections(self) -> Iterator[str]:
        """A section for each schema that was referred to, also by these sections."""
        if self._sections:
            yield "## Parts\n"
        done = 0
        while done < len(self._sections):
            name, schema, anchor = self._sections[done]
            done += 1
            yield f"### {name} {{ #{anchor} }}\n"
            if description := schema.get("description"):
                yield f"{description}\n"
            if schema.get("properties"):
                yield self._table(schema, nulls=True)
            else:
                yield self.kind({key: schema[key] for key in schema if key != "title"}) + "\n"

    def _table(self, schema: Json, *, nulls: bool) -> str:
        required = schema.get("required", ())
        lines = ["| field | value | meaning |", "|---|---|---|"]
        for name, field in schema.get("properties", {}).items():
            shown = f"**`{name}`**" if name in required else f"`{name}`"
            meaning = field.get("description") or ("" if nulls else self._meanings.get(name, ""))
            lines.append(f"| {shown} | {_cell(self.kind(field, nulls=nulls))} | {_cell(meaning)} |")
        return "\n".join(lines) + "\n"

    def _plain(self, schema: Json, *, nulls: bool) -> str:
        kind = schema.get("type", "any value")
        if kind == "array":
            return f"list of {_plural(self.kind(schema.get('items', {}), nulls=nulls))}"
        return self._object(schema, nulls=nulls) if kind == "object" else str(kind)

    def _object(self, schema: Json, *, nulls: bool) -> str:
        if properties := schema.get("properties"):
            if title := schema.get("title"):
                return self._section(title, schema)
            parts = (f"`{name}`: {self.kind(each)}" for name, each in properties.items())
            return "{" + ", ".join(parts) + "}"
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            return f"object of {_plural(self.kind(values, nulls=nulls))}"
        return "object"

    def _link(self, pointer: str) -> str:
        schema: Any = self._document
        for part in pointer.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            schema = schema[int(key) if isinstance(schema, list) else key]
        return self._section(schema.get("title", pointer.rpartition("/")[2]), schema)

    def _section(self, name: str, schema: Json) -> str:
        """A link to the section of a schema. Equal schemas share one, wherever they are defined."""
        key = json.dumps(_without_places(schema), sort_keys=True)
        if key not in self._anchors:
            same_name = sum(other == name for other, _, _ in self._sections)
            anchor = f"part-{name.lower()}" + (f"-{same_name + 1}" if same_name else "")
            self._anchors[key] = anchor
            self._sections.append((name, schema, anchor))
        return f"[{name}](#{self._anchors[key]})"


def _without_places(schema: Any) -> Any:
    """The schema with only the last part of each reference, and without definitions."""
    if isinstance(schema, dict):
        return {
            key: value.rpartition("/")[2].rpartition("__")[2]
            if key == "$ref"
            else _without_places(value)
            for key, value in schema.items()
            if key != "$defs"
        }
    return [_without_places(each) for each in schema] if isinstance(schema, list) else schema


def _bounds(schema: Json) -> str:
    """The limits of a number, a text's length or a list's, such as `, 0 to 2`."""
    texts = [_text(schema, f"min{name}", f"max{name}") + unit for name, unit in _UNITS.items()]
    texts[0] = _text(schema, "minimum", "maximum")
    if "exclusiveMinimum" in schema:
        texts[0] = f"above {_number(schema['exclusiveMinimum'])}" + (
            f", at most {_number(schema['maximum'])}" if "maximum" in schema else ""
        )
    return "".join(f", {text}" for text in texts if text and not text.startswith(" "))


def _text(schema: Json, low: str, high: str) -> str:
    limits = [_number(schema[key]) for key in (low, high) if key in schema]
    if len(limits) == 1:
        return f"at {'least' if low in schema else 'most'} {limits[0]}"
    return " to ".join(limits)


def _plural(kind: str) -> str:
    """For the three kinds that are plain words, with what may follow them."""
    word = kind.partition(",")[0]
    return kind.replace(word, f"{word}s", 1) if word in ("integer", "number", "string") else kind


def _number(value: float) -> str:
    """As people write it; the limits of 64 and of 32 bits as powers."""
    if abs(value) >= 2**62:
        return f"{'-' if value < 0 else ''}2^63"
    if value == 2**31 - 1:
        return "2^31 - 1"
    return f"{value:g}" if abs(value) < 1 else f"{value:,.6g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
