"""HTTP by hand on a socket, for clients that do not behave."""

import contextlib
import json
import socket
from typing import Any

from tests.server.wire import body

PATH = "/v1/completions"


def connect(port: int, *, rcvbuf: int | None = None) -> socket.socket:
    """A connection to this machine. `rcvbuf` is how much the system reads ahead of the client."""
    connection = socket.socket()
    if rcvbuf is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


def request_bytes(**fields: Any) -> bytes:
    """A completion request, head and body."""
    raw = json.dumps(body(**fields)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes or resets the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
