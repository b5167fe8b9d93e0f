"""Requests to the server that is tried."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

_TIMEOUT_S = 300
"""A machine that is busy with other work is slow, not wrong."""


def ask(port: int, method: str, path: str, *, key: str = "", body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer.

    Args:
        key: of the API; empty: none is sent.
        body: is sent as JSON, unless it is None.

    Raises:
        OSError: nobody listens.
    """
    response = _send(port, method, path, key=key, body=body)
    content = response.read()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(content) if is_json else content.decode()


def stream(port: int, path: str, *, key: str, body: Any) -> Iterator[Any]:
    """The events of a stream as they come; the last one is the text `[DONE]`."""
    response = _send(port, "POST", path, key=key, body=body)
    for line in response:
        data = line.decode().strip().removeprefix("data: ")
        if line.startswith(b"data: "):
            yield data if data == "[DONE]" else json.loads(data)


def _send(port: int, method: str, path: str, *, key: str, body: Any) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    content = None if body is None else json.dumps(body)
    connection.request(method, path, body=content, headers=headers)
    return connection.getresponse()
