"""A lean HTTP client: as many connections as asked, each sends its next request after an answer.

It understands only the answers of this server, so that it takes less time than the server does.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a load got."""

    num_requests: int
    num_events: int
    """Events of streams, without the last one, `[DONE]`."""
    seconds: float


def send_for(port: int, body: dict[str, Any], *, connections: int, seconds: float) -> Answered:
    """Send the same request again and again for a time, to a server on this machine.

    Raises:
        RuntimeError: an answer had another status than 200.
    """
    return asyncio.run(_send_for(port, body, connections, seconds))


async def _send_for(port: int, body: dict[str, Any], connections: int, seconds: float) -> Answered:
    data = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    started_s = time.perf_counter()
    counts = await asyncio.gather(
        *(_repeat(port, head.encode() + data, started_s + seconds) for _ in range(connections))
    )
    return Answered(
        num_requests=sum(requests for requests, _ in counts),
        num_events=sum(events for _, events in counts),
        seconds=time.perf_counter() - started_s,
    )


async def _repeat(port: int, request: bytes, until_s: float) -> tuple[int, int]:
    """How many answers, and events of streams, came on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    num_requests = num_events = 0
    while time.perf_counter() < until_s:
        writer.write(request)
        num_events += await read_answer(reader)
        num_requests += 1
    writer.close()
    return num_requests, num_events


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; returns how many events it had."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = head.split(b" ", 2)[1]
    if status != b"200":
        raise RuntimeError(f"the server answered with status {status.decode()}")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        await reader.readexactly(int(length))
        return 0
    num_events = 0
    tail = b""
    while not tail.endswith(_LAST_CHUNK):
        part = await reader.read(65536)
        if not part:
            raise RuntimeError("the server closed the connection within an answer")
        num_events += part.count(b"data: ")
        tail = (tail + part)[-len(_LAST_CHUNK) :]
    return num_events - 1
