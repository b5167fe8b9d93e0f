"""Requests of many clients: patient, slow, and gone in mid-stream."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.load.served_toy import MODEL


@dataclass(slots=True)
class Answer:
    """What a stream said, without what differs between two equal requests (id and time)."""

    text: str = ""
    thoughts: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    finish_reason: str | None = None

    def add(self, choice: dict[str, Any]) -> None:
        self.text += choice["text"]
        self.thoughts += choice.get("thoughts", [])
        self.logprobs += (choice["logprobs"] or {}).get("token_logprobs", [])
        self.finish_reason = choice["finish_reason"] or self.finish_reason


@dataclass(slots=True)
class Tally:
    """How the streams of a load ended."""

    complete: int = 0
    cut: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)


def make_requests(count: int, *, seed: int, prefix: str = "") -> list[dict[str, Any]]:
    """Bodies of different lengths and settings, the same for the same seed."""
    chooser = random.Random(seed)
    return [
        {
            "model": MODEL,
            "prompt": prefix + "".join(chooser.choices("abcdefgh ", k=chooser.randint(1, 80))),
            "max_tokens": chooser.randint(8, 48),
            "temperature": chooser.choice([0.0, 0.7, 1.0]),
            "seed": chooser.randrange(2**31),
            "num_thought_tokens": chooser.choice([0, 2, 3]),
            "show_thoughts": True,
            "logprobs": 1,
            "stream": True,
        }
        for _ in range(count)
    ]


async def answer(
    client: httpx.AsyncClient,
    body: dict[str, Any],
    *,
    most_chunks: int | None = None,
    pause_s: float = 0.0,
) -> Answer | None:
    """The answer of a stream; None if it is cut after `most_chunks`.

    Raises:
        httpx.HTTPStatusError: the status is not 200.
    """
    result = Answer()
    async with client.stream("POST", "/v1/completions", json=body) as response:
        response.raise_for_status()
        count = 0
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                result.add(choice)
            count += 1
            if count == most_chunks:
                return None
            await asyncio.sleep(pause_s)
    return result


async def unloaded(url: str, bodies: list[dict[str, Any]]) -> list[Answer]:
    """The answer of each request, one after the other."""
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        answers = [await answer(client, body) for body in bodies]
    assert all(each is not None and each.finish_reason for each in answers)
    return [each for each in answers if each is not None]


async def load(
    url: str,
    bodies: list[dict[str, Any]],
    expected: list[Answer],
    *,
    num_streams: int,
    duration_s: float,
) -> Tally:
    """Keep this many streams open; a third is cut off, a third reads slowly."""
    tally = Tally()
    end = asyncio.get_running_loop().time() + duration_s

    async def one(number: int) -> None:
        chooser = random.Random(number)
        limits = httpx.Limits(max_keepalive_connections=0)
        while asyncio.get_running_loop().time() < end:
            chosen = chooser.randrange(len(bodies))
            most = chooser.randint(1, 12) if number % 3 == 0 else None
            pause = chooser.uniform(0, 0.05) if number % 3 == 1 else 0.0
            try:
                async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
                    got = await answer(client, bodies[chosen], most_chunks=most, pause_s=pause)
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 429:
                    raise
                tally.refused += 1
                await asyncio.sleep(chooser.uniform(0, 0.5))
                continue
            if got is None:
                tally.cut += 1
            elif got == expected[chosen]:
                tally.complete += 1
            else:
                tally.wrong.append(f"{bodies[chosen]}: {got} instead of {expected[chosen]}")

    await asyncio.gather(*map(one, range(num_streams)))
    return tally
