"""JSON schemas as Markdown tables, for people."""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
NULL = {"type": "null"}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


class SchemaTables:
    """The schemas of one page. What they refer to gets a section of its own, once."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._anchors: dict[str, str] = {}
        self._sections: list[tuple[str, Json, str]] = []

    def table(self, schema: Json, *, nulls: bool = True) -> str:
        """One row for each property of an object; `nulls`: whether to say where a null may be."""
        required = schema.get("required", ())
        lines = ["| field | type | |", "|---|---|---|"]
        for name, field in schema.get("properties", {}).items():
            shown = f"**`{name}`**" if name in required else f"`{name}`"
            text = _cell(field.get("description", ""))
            lines.append(f"| {shown} | {_cell(self.kind(field, nulls=nulls))} | {text} |")
        return "\n".join(lines) + "\n"

    def kind(self, schema: Json, *, nulls: bool = True) -> str:
        """What a value may be, in words."""
        if "$ref" in schema:
            return self._link(schema["$ref"])
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            kinds = [self.kind(each, nulls=nulls) for each in choices if nulls or each != NULL]
            return " or ".join(dict.fromkeys(kinds))
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
        if "contentSchema" in schema:
            return "JSON of " + self.kind(schema["contentSchema"], nulls=nulls)
        return self._plain(schema, nulls=nulls)

    def sections(self) -> Iterator[str]:
        """A section for each schema that was referred to."""
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
                yield self.table(schema)
            else:
                yield self.kind({key: schema[key] for key in schema if key != "title"}) + "\n"

    def _plain(self, schema: Json, *, nulls: bool) -> str:
        kind = schema.get("type", "any value")
        if kind == "array":
            items = schema.get("items", {})
            kind = f"list of {self.kind(items, nulls=nulls)}"
        elif kind == "object":
            kind = self._object(schema, nulls=nulls)
        bounds = [
            text.format(_number(schema[key])) for key, text in _BOUNDS.items() if key in schema
        ]
        return f"{kind} ({', '.join(bounds)})" if bounds else str(kind)

    def _object(self, schema: Json, *, nulls: bool) -> str:
        if properties := schema.get("properties"):
            if title := schema.get("title"):
                return self._section(title, schema, key=json.dumps(schema, sort_keys=True))
            return (
                "{"
                + ", ".join(f"`{name}`: {self.kind(each)}" for name, each in properties.items())
                + "}"
            )
        values = schema.get("additionalProperties")
        return (
            f"object of {self.kind(values, nulls=nulls)}" if isinstance(values, dict) else "object"
        )

    def _link(self, pointer: str) -> str:
        schema: Any = self._document
        for key in pointer.removeprefix("#/").split("/"):
            name = key.replace("~1", "/").replace("~0", "~")
            schema = schema[int(name) if isinstance(schema, list) else name]
        name = schema.get("title", pointer.rpartition("/")[2])
        return self._section(name, schema, key=json.dumps(schema, sort_keys=True))

    def _section(self, name: str, schema: Json, *, key: str) -> str:
        """A link to the section of a schema; equal schemas share one."""
        if key not in self._anchors:
            taken = [anchor for _, _, anchor in self._sections]
            base = f"part-{name.lower()}"
            anchor = base if base not in taken else f"{base}-{len(taken)}"
            self._anchors[key] = anchor
            self._sections.append((name, schema, anchor))
        return f"[{name}](#{self._anchors[key]})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 2**53 else f"{value:g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
