"""What `/openapi.json` says, and values checked against it by `jsonschema`."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_DOCUMENT = "urn:openapi"


class Documented:
    """The schema of a server."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._registry: Any = Registry().with_resource(
            _DOCUMENT, DRAFT202012.create_resource(document)
        )

    @classmethod
    async def of(cls, client: httpx.AsyncClient) -> "Documented":
        return cls((await client.get("/openapi.json")).json())

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, method and description of each operation."""
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                yield path, method, operation

    def examples(self, path: str) -> dict[str, Any]:
        """Bodies of a POST by name."""
        body = self.document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        return {name: example["value"] for name, example in body["examples"].items()}

    def check_request(self, path: str, body: Any) -> None:
        self._check(body, path, "post", "requestBody", "content", "application/json", "schema")

    def check_response(self, path: str, method: str, response: httpx.Response) -> None:
        """Status, content type and body, or every event of a stream, are as described."""
        responses = self.document["paths"][path][method]["responses"]
        status = str(response.status_code)
        key = status if status in responses else "default"
        media_type = response.headers["content-type"].split(";")[0]
        place = (path, method, "responses", key, "content", media_type, "schema")
        values: list[Any] = [response.text]
        if media_type == "application/json":
            values = [response.json()]
        elif media_type == "text/event-stream":
            values = list(_events(response.text))
        assert values
        for value in values:
            self._check(value, *place)

    def check_event_data(self, path: str, data: Any) -> None:
        """The JSON in an event of a stream is as described."""
        place = (path, "post", "responses", "200", "content", "text/event-stream", "schema")
        self._check(data, *place, "properties", "data", "anyOf", "0", "contentSchema")

    def _check(self, value: Any, *keys: str) -> None:
        pointer = "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys)
        validator = jsonschema.Draft202012Validator(
            {"$ref": f"{_DOCUMENT}#/paths/{pointer}"}, registry=self._registry
        )
        validator.validate(value)


def _events(text: str) -> list[dict[str, str]]:
    """Each event as its fields; comments are left out."""
    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n") if block]
    fields = [[line for line in block if not line.startswith(":")] for block in blocks]
    return [dict(line.split(": ", 1) for line in block) for block in fields if block]
