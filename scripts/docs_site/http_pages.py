"""The HTTP reference: Markdown pages made from the OpenAPI document of the server."""

import json
from collections.abc import Iterator
from typing import Any

from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from scripts.docs_site.field_meanings import field_meanings
from scripts.docs_site.schema_tables import SchemaTables

Json = dict[str, Any]
GROUPS = {
    "completions": ("Completions", ("/v1/completions",)),
    "chat": ("Chat", ("/v1/chat/",)),
    "responses": ("Responses", ("/v1/responses",)),
    "messages": ("Messages", ("/v1/messages",)),
    "models": ("Models and tokens", ("/v1/models", "/tokenize", "/detokenize", "/tokenizer_info")),
    "operators": ("For operators", ("/health", "/metrics", "/version")),
}
"""The pages: file name, title, and how the paths begin that are on it."""
FOLDER = "reference/http"


def pages() -> dict[str, str]:
    """Markdown by path in the site. The app only describes itself: no model is loaded."""
    document = described()
    return {f"{FOLDER}/{name}.md": _page(document, *group) for name, group in GROUPS.items()}


def described() -> Json:
    """The OpenAPI document of today's code."""
    return create_app(_no_engine, ServerConfig()).openapi()


def _no_engine() -> Engine:
    raise AssertionError("the app is described and never started")


def _page(document: Json, title: str, prefixes: tuple[str, ...]) -> str:
    tables = SchemaTables(document, field_meanings())
    parts = [
        f"# {title}\n",
        "Every field with its range, made from the server's own description (`/openapi.json`). "
        "How fields work together is in [HTTP API](../../api.md). Fields in **bold** are required; "
        "in a request, a null counts as absent.\n",
    ]
    for path, operations in document["paths"].items():
        if path.startswith(prefixes):
            for method, operation in operations.items():
                parts += _operation(f"{method.upper()} {path}", operation, tables)
    return "\n".join([*parts, *tables.sections()])


def _operation(name: str, operation: Json, tables: SchemaTables) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield operation.get("description", "") + "\n"
    if parameters := operation.get("parameters"):
        yield "### In the address\n"
        yield from _parameters(parameters, tables)
    if body := operation.get("requestBody"):
        content = body["content"]["application/json"]
        yield "### Request\n"
        yield tables.request_table(content["schema"])
        yield from _examples(content.get("examples", {}))
    yield "### Response\n"
    for media_type, content in operation["responses"].get("200", {}).get("content", {}).items():
        yield f"{_said(media_type)}{tables.kind(content.get('schema', {}))}.\n"
    yield from _errors(operation["responses"])


def _said(media_type: str) -> str:
    if media_type == "text/event-stream":
        return "With `stream`, server-sent events (`text/event-stream`), each with: "
    return f"200, `{media_type}`: "


def _parameters(parameters: list[Json], tables: SchemaTables) -> Iterator[str]:
    yield "| parameter | type |\n|---|---|"
    for each in parameters:
        yield f"| `{each['name']}` | {tables.kind(each['schema'])} |"
    yield ""


def _examples(examples: Json) -> Iterator[str]:
    for title, example in examples.items():
        text = json.dumps(example["value"], indent=2, ensure_ascii=False).replace("\n", "\n    ")
        yield f'??? example "{title}"\n\n    ```json\n    {text}\n    ```\n'


def _errors(responses: Json) -> Iterator[str]:
    yield "| status | when |\n|---|---|"
    for status, response in sorted(responses.items()):
        if status != "200":
            yield f"| {'other' if status == 'default' else status} | {response['description']} |"
    yield ""
