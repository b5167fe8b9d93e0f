"""A front passes requests to replicas and their responses back, whatever happens to a replica."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.errors import EngineDeadError
from tests.server.fake_engine import MODEL, SCRIPT
from tests.server.live_server import wait_until
from tests.server.replicas.fleet import Fleet, broken_replica, fleet, replica_at

PROMPT = {"model": MODEL, "prompt": "Say it"}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Say it"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": PROMPT,
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"model": MODEL, "input": "Say it"},
    "/v1/messages": {**CHAT, "max_tokens": 64},
}


@pytest.fixture
def two() -> Iterator[Fleet]:
    with fleet("a", "b") as made:
        yield made


def post(made: Fleet, path: str = "/v1/completions", **fields: Any) -> httpx.Response:
    body = {**BODIES[path], **fields}
    return made.client.post(path, json=body, timeout=30)


def without_ids(text: str) -> str:
    """A response without what differs from one to the next."""
    fields = json.loads(text)
    for name in ("id", "created", "created_at", "completed_at"):
        fields.pop(name, None)
    for item in fields.get("output", []):
        item.pop("id")
    return json.dumps(fields)


# --- responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BODIES)
def test_a_response_is_that_of_a_replica(two: Fleet, path: str) -> None:
    """The second one comes from a server alone."""
    passed_on = post(two, path, top_p=0.9)
    direct = httpx.post(
        f"http://127.0.0.1:{two.replicas['a'].port}{path}",
        json={**BODIES[path], "top_p": 0.9},
        headers={"x-qstar-front": "between-front-and-replicas"},
    )
    assert passed_on.status_code == direct.status_code == 200
    assert without_ids(passed_on.text) == without_ids(direct.text)
    assert passed_on.headers.keys() == direct.headers.keys() - {"connection"}


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_arrives_as_it_is_computed(two: Fleet, path: str) -> None:
    for engine in two.engines.values():
        engine.step_s = 0.02
    with two.client.stream("POST", path, json={**BODIES[path], "stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        parts = list(response.iter_raw())
    assert len(parts) > 10
    assert all(part.endswith(b"\n\n") for part in parts)


def test_routes_errors_and_queries_pass(two: Fleet) -> None:
    assert two.client.get("/v1/models").json()["data"][0]["id"] == MODEL
    assert two.client.get(f"/v1/models/{MODEL}").json()["id"] == MODEL
    assert two.client.get("/nowhere?a=b").json()["error"]["message"].endswith("GET /nowhere.")
    assert two.client.head("/v1/models").content == b""
    assert two.client.post("/health").json()["error"]["message"] == (
        "POST /health: the method is not allowed."
    )
    assert two.client.head("/health").status_code == 200
    wrong = post(two, temperature=-1)
    assert wrong.status_code == 400
    assert "temperature" in wrong.json()["error"]["message"]
    assert two.client.post("/v1/completions", content=b"{").status_code == 415


def test_a_request_has_one_id(two: Fleet) -> None:
    response = two.client.post("/v1/completions", json=PROMPT, headers={"x-request-id": "mine"})
    assert response.headers.get_list("x-request-id") == ["mine"]


def test_errors_of_messages_keep_their_form(two: Fleet) -> None:
    of_replica = post(two, "/v1/messages", temperature=7)
    two.table.update([])
    of_front = post(two, "/v1/messages")
    assert (of_replica.status_code, of_front.status_code) == (400, 503)
    for response in (of_replica, of_front):
        assert response.json()["type"] == "error"
        assert response.json()["request_id"] == response.headers["request-id"]


# --- the choice of a replica ----------------------------------------------------------------------


def test_a_conversation_stays_at_its_replica(two: Fleet) -> None:
    for number in range(12):
        before = two.served()
        first = {"role": "user", "content": f"Question {number}"}
        more = [{"role": "assistant", "content": "So."}, {"role": "user", "content": "Why?"}]
        for messages in ([first], [first, *more], [first, *more, *more]):
            assert post(two, "/v1/chat/completions", messages=messages).status_code == 200
        new = {name: count - before[name] for name, count in two.served().items()}
        assert sorted(new.values()) == [0, 3]
    assert min(two.served().values()) > 0


def test_a_large_prompt_has_a_home_too() -> None:
    """Its body is parsed outside of the event loop."""
    with fleet("a", "b", config=ServerConfig(max_body_bytes=100_000)) as made:
        texts = [f"{number}" * 40_000 for number in range(4)]
        for text in (*texts, *texts):
            assert post(made, prompt=text).status_code == 400  # too long for the model
        admitted = [len(engine.encode_calls) for engine in made.engines.values()]
        assert all(count % 2 == 0 for count in admitted)


def test_a_full_replica_passes_its_requests_to_the_next(two: Fleet) -> None:
    two.engines["a"].is_full = True
    assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8
    assert two.served() == {"a": 0, "b": 8}
    two.engines["b"].is_full = True
    refused = post(two)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "queue_full"
    assert refused.headers["retry-after"] == "7"


def test_a_dead_engine_passes_its_requests_to_the_next(two: Fleet) -> None:
    two.engines["a"].die(EngineDeadError("gone"))
    assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8


def test_a_replica_that_stops_is_replaced_by_the_next(two: Fleet) -> None:
    """It says 503 while it drains, then nobody is at its port."""
    two.replicas["a"].stop()
    assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8
    two.table.update([replica_at(two.replicas["a"].port, "a")])
    alone = post(two)
    assert alone.status_code == 503
    assert alone.json()["error"]["code"] == "model_loading"


def test_health_tells_whether_there_is_a_replica(two: Fleet) -> None:
    assert two.client.get("/health").status_code == 200
    two.table.update([])
    assert two.client.get("/health").status_code == 503
    assert post(two).status_code == 503


# --- replicas that go -----------------------------------------------------------------------------


def chunked(content: bytes) -> bytes:
    """A stream whose end never comes."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"%x\r\n%b\r\n" % (len(content), content) if content else head


def broken_stream(made: Fleet, path: str, content: bytes) -> bytes:
    """What a client gets of a replica that sends this content of a stream and goes."""
    with broken_replica(chunked(content)) as port:
        made.table.update([replica_at(port, "broken")])
        return post(made, path, stream=True).content


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_that_breaks_ends_as_one_of_a_dead_engine(two: Fleet, path: str) -> None:
    """The expected end is that of a server whose engine dies after three steps."""
    for engine in two.engines.values():
        engine.step_s = 0.05
    with two.client.stream("POST", path, json={**BODIES[path], "stream": True}) as response:
        content = b""
        for part in response.iter_raw():
            content += part
            if content.count(b"data:") == 5:
                for engine in two.engines.values():
                    engine.die(EngineDeadError("gone"))
    frames = content.split(b"\n\n")
    begun = b"\n\n".join(frames[:5]) + b"\n\n"
    broken = broken_stream(two, path, begun + frames[4][:-7])
    assert broken.startswith(begun)
    ended = [shape_of(frame) for frame in broken[len(begun) :].decode().split("\n\n")]
    expected = [shape_of(frame) for frame in content.decode().split("\n\n")]
    assert ended == expected[-len(ended) :]
    assert len(ended) > 1


def shape_of(frame: str) -> Any:
    """Event name, fields and their kinds, without texts that may differ."""
    name, _, data = frame.rpartition("data: ")
    if not data.startswith("{"):
        return name, data
    fields = json.loads(data)
    error = fields.get("error") or fields.get("response", {}).get("error") or fields
    return name, sorted(fields), sorted(error), fields.get("type"), error.get("code")


def test_numbers_of_a_broken_response_go_on(two: Fleet) -> None:
    with two.client.stream(
        "POST", "/v1/responses", json={**BODIES["/v1/responses"], "stream": True}
    ) as response:
        whole = response.read()
    begun = b"\n\n".join(whole.split(b"\n\n")[:4]) + b"\n\n"
    broken = broken_stream(two, "/v1/responses", begun + b": ping\n\n").decode()
    events = [json.loads(line[6:]) for line in broken.splitlines() if line.startswith("data: ")]
    assert [event["sequence_number"] for event in events] == list(range(6))
    assert events[-1]["response"]["id"] == events[0]["response"]["id"]
    assert events[-1]["response"]["status"] == "failed"


@pytest.mark.parametrize(
    ("answer", "stream"),
    [
        (b"", False),
        (b"", True),
        (chunked(b""), True),
        (chunked(b"data: {"), True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", False),
        (b"not HTTP\r\n\r\n", False),
    ],
)
def test_what_breaks_before_the_first_byte_is_tried_again(
    two: Fleet, answer: bytes, stream: bool
) -> None:
    with broken_replica(answer) as port:
        two.table.update([replica_at(port, "broken"), *two.table.replicas])
        for number in range(6):
            response = post(two, prompt=f"{number}", stream=stream)
            assert response.status_code == 200
            text = response.text
            assert (
                "[DONE]" in text
                if stream
                else SCRIPT.startswith(json.loads(text)["choices"][0]["text"])
            )
    assert sum(two.served().values()) == 6


def test_when_the_client_leaves_the_replica_stops_computing(two: Fleet) -> None:
    for engine in two.engines.values():
        engine.step_s = 0.02
    with two.client.stream("POST", "/v1/completions", json={**PROMPT, "stream": True}) as got:
        next(got.iter_raw())
    wait_until(lambda: sum(len(engine.aborted) for engine in two.engines.values()) == 1)
    with pytest.raises(httpx.ReadTimeout):
        two.client.post("/v1/completions", json=PROMPT, timeout=0.1)
    wait_until(lambda: sum(len(engine.aborted) for engine in two.engines.values()) == 2)


# --- stop -----------------------------------------------------------------------------------------


def test_a_stop_ends_streams_with_an_error(two: Fleet) -> None:
    """After the time to drain, which is 0.2 s."""
    for engine in two.engines.values():
        engine.step_s = 0.5
    with two.client.stream("POST", "/v1/completions", json={**PROMPT, "stream": True}) as got:
        lines = got.iter_lines()
        assert next(lines).startswith("data: ")
        two.server.should_exit = True
        rest = [line for line in lines if line]
    assert json.loads(rest[-2][6:])["error"]["code"] == "shutting_down"
    assert rest[-1] == "data: [DONE]"


def test_a_request_that_ends_in_time_survives_the_stop() -> None:
    with fleet("a", config=ServerConfig(drain_grace_s=20)) as made:
        made.engines["a"].step_s = 0.02
        body = {**PROMPT, "stream": True}
        with made.client.stream("POST", "/v1/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            made.server.should_exit = True
            rest = [line for line in lines if line]
            wait_until(lambda: not made.server.started or made.front._is_draining)
        assert rest[-1] == "data: [DONE]"
        assert not any("error" in json.loads(line[6:]) for line in rest[:-1])
