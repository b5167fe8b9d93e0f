"""A real HTTP server to talk to, and one way to write a test for both clients."""

import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from qstar_client import AsyncQStarClient, QStarClient

CHOICE = {"index": 0, "text": " 4", "logprobs": None, "finish_reason": "stop"}
COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "tiny",
    "choices": [CHOICE],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
        "completion_tokens_details": {"reasoning_tokens": 6},
    },
}


def event(body: object) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


@dataclass
class Exchange:
    """One request as a script sees it, with ways to answer."""

    handler: BaseHTTPRequestHandler
    body: bytes

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        content = json.dumps(body).encode()
        self.start(status, {"content-length": str(len(content)), **(headers or {})})
        self.handler.wfile.write(content)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the status line and the headers."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def start_stream(self) -> None:
        """Begin an event stream in chunked transfer encoding."""
        self.start(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    def send(self, piece: bytes) -> None:
        """Send one piece of the stream; b"" ends it."""
        self.handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))


Script = Callable[[Exchange], None]


@dataclass
class WireServer:
    """A threaded server that answers every request by its script."""

    script: Script
    base_url: str = ""
    requests: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    """Scripts that stall wait for this; it is set when the test ends."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the block ends."""
        with ThreadingHTTPServer(("127.0.0.1", 0), self._handler_type()) as server:
            self.base_url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield
            finally:
                self.release.set()
                server.shutdown()
                thread.join()

    def _handler_type(self) -> type[BaseHTTPRequestHandler]:
        wire = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def answer(self) -> None:
                wire.requests.append(f"{self.command} {self.path}")
                length = int(self.headers.get("content-length", 0))
                wire.script(Exchange(self, self.rfile.read(length)))

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                """Keep the test output clean."""

        return Handler


@pytest.fixture
def serve() -> Iterator[Callable[[Script], WireServer]]:
    """Starts servers that live until the test ends."""
    with ExitStack() as stack:

        def start(script: Script) -> WireServer:
            server = WireServer(script)
            stack.enter_context(server.running())
            return server

        yield start


@dataclass
class Harness:
    """Runs the same test on the blocking and on the async client."""

    is_async: bool
    clients: list[Any] = field(default_factory=list)

    def client(
        self, handler: Callable[[httpx.Request], httpx.Response] | None = None, **kw: Any
    ) -> Any:
        """A client of its own, over a mock transport where there is a handler."""
        if handler is not None:
            kw["transport"] = httpx.MockTransport(handler)
        client = (AsyncQStarClient if self.is_async else QStarClient)(**kw)
        self.clients.append(client)
        return client

    async def settle(self, value: Any) -> Any:
        """The result of a call, awaited where the client is async."""
        return await value if inspect.isawaitable(value) else value

    async def enter(self, stream: Any) -> Any:
        """Enter the stream's context."""
        return await self.settle(stream.__aenter__() if self.is_async else stream.__enter__())

    async def leave(self, stream: Any) -> None:
        """Leave the stream's context without an error."""
        leave = stream.__aexit__ if self.is_async else stream.__exit__
        await self.settle(leave(None, None, None))

    async def next(self, stream: Any) -> Any:
        """The next chunk; None when the stream is over."""
        return await anext(stream, None) if self.is_async else next(stream, None)


@pytest.fixture(params=["sync", "async"])
async def harness(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Harness]:
    """Both kinds of client, without the environment's settings."""
    for name in ("QSTAR_BASE_URL", "QSTAR_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    harness = Harness(is_async=request.param == "async")
    yield harness
    for client in harness.clients:
        await harness.settle(client.close())
