"""Sends requests when they arrive, whether or not earlier ones have ended (an open loop)."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from qstar_infer.bench.prompts import load_prompts
from qstar_infer.bench.serve.client import RequestRecord, send
from qstar_infer.errors import ConfigError

_READ_TIMEOUT_S = 300.0
"""Longest silence of a stream. An overloaded server is slow, not broken."""


def check_client() -> None:
    """Check that requests can be sent, before a server is started.

    Raises:
        ConfigError: httpx is not installed.
    """
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"`qstar bench serve` needs httpx, which is not installed ({error}). Install it with "
            "pip install 'qstar[bench]'."
        ) from error


def model_of(url: str) -> str:
    """The name of the model that a server serves.

    Raises:
        ConfigError: nothing answers there, or not as a server of models does.
    """
    import httpx

    try:
        answer = httpx.get(f"{url}/models", timeout=30.0).raise_for_status().json()
        return str(answer["data"][0]["id"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"--url {url}: no server answers GET {url}/models ({error}). The URL must end in /v1."
        ) from error


def send_all(
    url: str,
    arrivals: Sequence[float],
    bodies: Sequence[dict[str, Any]],
    *,
    on_call: Callable[[], None],
) -> list[RequestRecord]:
    """Send each request at its time; returns when the last has ended.

    Args:
        url: ends in `/v1`.
        arrivals: seconds from the start, ascending; one for each body.
        bodies: of `POST /v1/completions`.
    """
    return asyncio.run(_send_all(url, arrivals, bodies, on_call))


def random_text(num_words: int, *, seed: int) -> str:
    """Words of the packaged prompts in random order."""
    words = " ".join(load_prompts()).split()
    return " ".join(random.Random(seed).choices(words, k=num_words))


async def _send_all(
    url: str,
    arrivals: Sequence[float],
    bodies: Sequence[dict[str, Any]],
    on_call: Callable[[], None],
) -> list[RequestRecord]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(_READ_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout) as client:
        start = time.perf_counter()

        async def send_later(arrival: float, body: dict[str, Any]) -> RequestRecord:
            await asyncio.sleep(max(0.0, start + arrival - time.perf_counter()))
            record = await send(client, body, due=start + arrival)
            on_call()
            return record

        return await asyncio.gather(*map(send_later, arrivals, bodies))
