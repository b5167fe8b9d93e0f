"""The official OpenAI client's `responses` against a real socket."""

import json
import socket

import openai
import pytest
from openai.types.responses import ResponseFailedEvent, ResponseTextDeltaEvent

from tests.server.endpoints.responses.wire import PATH, body
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, wait_until


def test_a_whole_response(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(
        model=MODEL, instructions="Be brief.", input=[{"role": "user", "content": "Hi"}]
    )
    assert response.output_text == SCRIPT
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert response._request_id


def test_a_streamed_response(openai_client: openai.OpenAI) -> None:
    events = list(openai_client.responses.create(model=MODEL, input="Hi", stream=True))
    text = "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))
    assert text == SCRIPT
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == SCRIPT


@pytest.mark.parametrize("has_reasoning", [False, True])
def test_the_clients_own_accumulation(openai_client: openai.OpenAI, has_reasoning: bool) -> None:
    """Its helper keeps a snapshot of each item, and fails where events do not fit together."""
    with openai_client.responses.stream(
        model=MODEL, input="Hi", extra_body={"include_reasoning": has_reasoning}
    ) as stream:
        snapshots = [
            event.snapshot for event in stream if event.type == "response.output_text.delta"
        ]
        response = stream.get_final_response()
    assert snapshots[-1] == SCRIPT
    assert response.output_text == SCRIPT
    types = ["reasoning", "message"] if has_reasoning else ["message"]
    assert [item.type for item in response.output] == types


async def test_the_async_client(live: LiveServer) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key="none", max_retries=0
    ) as client:
        response = await client.responses.create(model=MODEL, input="Hi")
        assert response.output_text == SCRIPT
        async with client.responses.stream(model=MODEL, input="Hi") as stream:
            final = await stream.get_final_response()
        assert final.output_text == SCRIPT


def test_errors_are_typed(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(model=MODEL, input="Hi", store=True)
    assert caught.value.param == "store"
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve("resp_1")
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.delete("resp_1")


def test_a_failure_in_a_stream_is_an_event(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    events = openai_client.responses.create(
        model=MODEL, input="A", stream=True, extra_body={"ignore_eos": True}
    )
    next(events)
    wait_until(lambda: engine.num_open == 1)
    engine.fail(RuntimeError("hush"))
    last = list(events)[-1]
    assert isinstance(last, ResponseFailedEvent)
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert "hush" not in last.response.error.message


def test_closing_a_stream_early_frees_its_request(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    events = openai_client.responses.create(model=MODEL, input="A", stream=True)
    next(events)
    events.close()
    wait_until(lambda: len(engine.aborted) == 1)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_leaving_frees_the_request(live: LiveServer, engine: FakeEngine, is_streamed: bool) -> None:
    engine.step_s = 0.02
    raw = json.dumps(body(stream=is_streamed, ignore_eos=True)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as connection:
        connection.sendall(head.encode() + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        wait_until(lambda: engine.num_open == 1)
    wait_until(lambda: engine.num_open == 0)
    assert engine.aborted == [engine.submitted[0].request_id]
