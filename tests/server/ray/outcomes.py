"""Sends requests to replicas that may die, and says how each of them ended."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from qstar_server.settings.config import ServerConfig

from tests.load.streams import Answer, unloaded
from tests.server.live_server import start_server
from tests.server.real_engine import create_real_engine

LIMITS = httpx.Limits(max_keepalive_connections=0)


@dataclass
class Outcomes:
    """How requests ended: `complete` as expected, `broken` by an error event, or `wrong`."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, got: Answer | str, expected: Answer) -> None:
        if got == expected:
            self.counts["complete"] += 1
        elif got == "broken":
            self.counts["broken"] += 1
        else:
            self.counts["wrong"] += 1
            self.wrong.append(f"{got} instead of {expected}")


def expected_answers(folder: Path, bodies: list[dict[str, Any]]) -> list[Answer]:
    """What one server with the toy model answers to each request, one after the other.

    Args:
        folder: a new one, for the model.
    """
    live = start_server(create_real_engine(folder), ServerConfig())
    try:
        return asyncio.run(unloaded(live.url, bodies))
    finally:
        live.stop()


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Answer | str:
    """The answer to a request, streamed or not; `broken`, or else what is wrong with it."""
    if not body["stream"]:
        response = await client.post("/v1/completions", json=body)
        if response.status_code != 200:
            return response.text
        return read([response.json()])
    async with client.stream("POST", "/v1/completions", json=body) as response:
        text = (await response.aread()).decode()
    if not text.endswith("data: [DONE]\n\n"):
        return text
    frames = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    if "error" in frames[-1]:
        return "broken" if frames[-1]["error"]["code"] == "engine_dead" else text
    return read(frames)


def read(frames: list[dict[str, Any]]) -> Answer:
    answer = Answer()
    for frame in frames:
        for choice in frame["choices"]:
            answer.add(choice)
    return answer


async def send_all(
    url: str,
    bodies: list[dict[str, Any]],
    expected: list[Answer],
    *,
    num_open: int,
    headers: Mapping[str, str] | None = None,
) -> Outcomes:
    """Send each request once, so many at a time."""
    outcomes = Outcomes()
    left = list(zip(bodies, expected, strict=True))

    async def one() -> None:
        async with httpx.AsyncClient(
            base_url=url, timeout=240, limits=LIMITS, headers=headers
        ) as client:
            while left:
                body, answer = left.pop()
                outcomes.add(await ask(client, body), answer)

    await asyncio.gather(*(one() for _ in range(num_open)))
    return outcomes
