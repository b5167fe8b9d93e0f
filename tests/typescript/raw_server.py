"""A server that answers every request with the same bytes, and closes the connection."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def piece(content: bytes) -> bytes:
    """A part of a body in chunked transfer encoding; b"" ends the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Gives the server's URL, and the first line of each request, while the block runs."""
    requests: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            requests.append(self.rfile.readline().strip())
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", requests
        finally:
            server.shutdown()
            thread.join()
