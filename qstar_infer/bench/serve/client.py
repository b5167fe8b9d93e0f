"""Sends one streamed completion and notes when its tokens come."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_DATA = "data: "
_DONE = "[DONE]"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What happened to one request. Times are in seconds since it should have been sent."""

    token_times: list[float] = field(default_factory=list)
    """When each chunk with new tokens came."""
    num_tokens: int = 0
    num_prompt_tokens: int = 0
    end_s: float | None = None
    """When the stream was complete; None if it never was."""
    error: str | None = None

    @property
    def ttft_s(self) -> float | None:
        return self.token_times[0] if self.token_times else None

    @property
    def gaps(self) -> list[float]:
        """Inter-token latencies: the time between two chunks with new tokens."""
        return [b - a for a, b in zip(self.token_times, self.token_times[1:], strict=False)]

    @property
    def mean_gap_s(self) -> float:
        """Time per token after the first; 0 for a single token."""
        if self.num_tokens < 2 or not self.token_times:
            return 0.0
        return (self.token_times[-1] - self.token_times[0]) / (self.num_tokens - 1)

    def is_within(self, *, ttft_s: float, gap_s: float) -> bool:
        """Whether it ended well, began in time, and went on in time on average."""
        is_complete = self.error is None and self.end_s is not None and self.ttft_s is not None
        return is_complete and self.token_times[0] <= ttft_s and self.mean_gap_s <= gap_s


async def send(client: "httpx.AsyncClient", body: dict[str, Any], *, due: float) -> RequestRecord:
    """Send a request and read its stream to the end. Errors are recorded, not raised.

    Args:
        client: with the server's base URL.
        body: of `POST /v1/completions`, without the fields about streaming.
        due: `time.perf_counter()` at which it arrives; waiting for this process counts as well.
    """
    import httpx

    options = {"include_usage": True, "continuous_usage_stats": True}
    record = RequestRecord()
    try:
        async with client.stream(
            "POST", "/completions", json=body | {"stream": True, "stream_options": options}
        ) as response:
            if response.status_code != 200:
                text = (await response.aread()).decode(errors="replace")
                record.error = f"HTTP {response.status_code}: {text[:200]}"
                return record
            await _read(response.aiter_lines(), record, due)
    except httpx.HTTPError as error:
        record.error = f"{type(error).__name__}: {error}"
    return record


async def _read(lines: AsyncIterator[str], record: RequestRecord, due: float) -> None:
    """Follow the events of a stream."""
    async for line in lines:
        if not line.startswith(_DATA):
            continue
        now = time.perf_counter() - due
        data = line.removeprefix(_DATA)
        if data == _DONE:
            record.end_s = now
            return
        event = json.loads(data)
        if "error" in event:
            record.error = str(event["error"].get("message"))
            return
        usage = event.get("usage") or {}
        record.num_prompt_tokens = usage.get("prompt_tokens", record.num_prompt_tokens)
        if usage.get("completion_tokens", 0) > record.num_tokens:
            record.num_tokens = usage["completion_tokens"]
            record.token_times.append(now)
    record.error = "the stream ended without [DONE]"
