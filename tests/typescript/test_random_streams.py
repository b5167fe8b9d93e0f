"""Both clients make the same of the same bytes, also where a stream is cut or wrong."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from qstar_client import FinishEvent, QStarClient, QStarClientError, TextEvent, ThoughtEvent

from tests.typescript.node_package import run_program
from tests.typescript.test_typescript_client import without_volatile

NUM_STREAMS = 300
TEXTS = ["", "a", "é", "漢\u2028", "🙂", "\r\n", "\0<b>"]
THOUGHT = {"thought_token_ids": [5], "mixing_weight": 0.25, "token_id": 9}
WRONG = [
    'data: {"error": {"message": "bad", "code": "x"}}\n\n',
    'event: error\ndata: {"message": "bad"}\n\n',
    *("data: junk\n\n", "data: 5\n\n", "data: []\n\n", "data: a\ndata: b\n\n"),
]


class Pieces(httpx.SyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


def random_chunk(rng: random.Random) -> dict[str, Any]:
    choices = []
    for _ in range(rng.choice([0, 1, 1, 2])):
        choice: dict[str, Any] = {"index": rng.randrange(3), "text": rng.choice(TEXTS)}
        if rng.random() < 0.6:
            numbers = {"logprob": -0.5, "base_logprob": -9999.0}
            texts = {"token": rng.choice(TEXTS), "thought": rng.choice(TEXTS)}
            choice["thoughts"] = [THOUGHT | numbers | texts] * rng.randrange(3)
        choice["finish_reason"] = rng.choice([None, None, "stop"])
        choice["unknown"] = rng.choice([None, 1, {"__proto__": [1]}])
        choices.append(choice)
    return {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": choices}


def random_stream(rng: random.Random) -> list[bytes]:
    events = []
    for _ in range(rng.randrange(6)):
        end = rng.choice(["\n", "\r\n", "\r"])
        head = rng.choice(["", "", f": ping{end}", f"id: 4{end}", end])
        text = json.dumps(random_chunk(rng), ensure_ascii=rng.random() < 0.5)
        events.append(f"{head}data:{rng.choice(['', ' '])}{text}{end}{end}")
    if rng.random() < 0.15:
        events.insert(rng.randint(0, len(events)), rng.choice(WRONG))
    events.append(rng.choice(["data: [DONE]\n\n"] * 4 + ["data:[DONE]", ""]))
    body = "".join(events).encode()
    if rng.random() < 0.1:
        body = body[: rng.randint(0, len(body))]
    cuts = sorted(rng.randint(0, len(body)) for _ in range(rng.randrange(9)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    return [piece for piece in pieces if piece]


def event_of(event: object) -> dict[str, Any]:
    """An event of the Python client as the TypeScript client has it."""
    if isinstance(event, TextEvent):
        return {"type": "text", "index": event.choice_index, "text": event.text}
    if isinstance(event, ThoughtEvent):
        thought = event.thought.model_dump(exclude_none=True)
        return {"type": "thought", "index": event.choice_index, "thought": thought}
    assert isinstance(event, FinishEvent)
    fields = asdict(event)
    return {"type": "finish", "index": fields.pop("choice_index"), **fields}


def python_outcome(pieces: list[bytes]) -> dict[str, Any]:
    head = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=head, stream=Pieces(pieces))
    )
    client = QStarClient(base_url="http://host.test", max_retries=0, transport=transport)
    stream = client.completions.stream(prompt="x", model="m")
    outcome: dict[str, Any] = {"events": [], "whole": None, "error": None}
    try:
        outcome["events"] += map(event_of, stream.events())
        outcome["whole"] = stream.final().model_dump()
    except QStarClientError as error:
        outcome["error"] = type(error).__name__
    return outcome


def test_both_clients_make_the_same_of_random_streams(package: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    streams = [random_stream(rng) for _ in range(NUM_STREAMS)]
    file = tmp_path / "streams.json"
    file.write_text(json.dumps([[piece.hex() for piece in pieces] for pieces in streams]))
    outcomes = run_program(package, "streams.mjs", {"file": str(file)})
    expected = [python_outcome(pieces) for pieces in streams]
    assert without_volatile(outcomes) == without_volatile(expected)
    num_failed = sum(outcome["error"] is not None for outcome in expected)
    assert NUM_STREAMS // 10 < num_failed < NUM_STREAMS // 2, "both kinds are compared"
