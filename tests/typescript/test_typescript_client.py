"""The TypeScript client against the server: what it gets is what the Python client gets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from qstar_client import APIStatusError, QStarClient
from qstar_server.settings.config import ServerConfig

from tests.server.conversation.tool_calls.templates import QWEN_2_5
from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.typescript.node_package import run_program, running_program
from tests.typescript.raw_server import STREAM_HEAD, answering, piece

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "completions": {"prompt": "Hi", "max_tokens": 60, "logprobs": 1},
    "chat.completions": {"messages": MESSAGES, "logprobs": True, "include_reasoning": True},
    "responses": {"input": "Hi", "include_reasoning": True},
}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CHOICES = {"prompt": ["a", "b"], "n": 2, "max_tokens": 5, "logprobs": 2, "return_token_ids": True}
EQUAL: list[tuple[str, dict[str, Any]]] = [
    *REQUESTS.items(),
    ("completions", CHOICES | {"temperature": 0.0}),
    ("completions", {"prompt": "Hi", "max_tokens": 4, "echo": True, "num_thought_tokens": 0}),
    ("chat.completions", {"messages": MESSAGES, "max_completion_tokens": 9, "n": 2}),
    ("responses", {"input": "Hi", "max_output_tokens": 9}),
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("completions", {"prompt": "x", "top_p": 2.5}),
    ("completions", {"prompt": "x", "model": "other"}),
    ("completions", {"prompt": "x" * 600}),
    ("chat.completions", {"messages": []}),
    ("responses", {"input": "x", "store": True}),
]
VOLATILE = {"id", "created", "created_at", "completed_at", "output_text"}
KEY = "sk-hunter22"


def without_volatile(value: Any) -> Any:
    """The answer without what differs between two requests, and without nulls."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in VOLATILE}
        return {name: without_volatile(each) for name, each in kept.items() if each is not None}
    return [without_volatile(each) for each in value] if isinstance(value, list) else value


def python_answer(client: QStarClient, call: str, params: dict[str, Any]) -> BaseModel:
    target: Any = client
    for name in call.split("."):
        target = getattr(target, name)
    answer: BaseModel = target.create(**params)
    return answer


def outcomes_of(package: Path, url: str, *calls: dict[str, Any], **options: Any) -> list[Any]:
    """What the calls give in the TypeScript client."""
    job = {"options": {"baseURL": url, "maxRetries": 0, **options}, "calls": calls}
    outcomes: list[Any] = run_program(package, "calls.mjs", job)
    return outcomes


def whole_and_streamed(requests: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each request as a call for the whole answer, and as a stream."""
    return [
        {"call": call, "method": method, "params": params}
        for call, params in requests
        for method in ("create", "stream")
    ]


def outcome_of(package: Path, url: str, call: str, params: Any, **options: Any) -> Any:
    """What a streamed call gives in the TypeScript client."""
    one = {"call": call, "method": "stream", "params": params}
    return outcomes_of(package, url, one, **options)[0]


def test_answers_are_those_of_the_python_client(package: Path, live: LiveServer) -> None:
    requests = [(call, params | {"show_thoughts": True, "seed": 1}) for call, params in EQUAL]
    outcomes = outcomes_of(package, f"{live.url}/v1", *whole_and_streamed(requests))
    with QStarClient(base_url=live.url) as client:
        for number, (call, params) in enumerate(requests):
            answer = python_answer(client, call, params)
            expected = without_volatile(answer.model_dump(mode="json"))
            whole, streamed = outcomes[2 * number : 2 * number + 2]
            assert without_volatile(whole["answer"]) == expected, (call, params)
            assert without_volatile(streamed["answer"]) == expected, (call, params)


def test_details_of_thoughts_are_those_of_the_server(package: Path, live: LiveServer) -> None:
    details = {"show_thoughts": True, "thought_top_logprobs": 2, "show_passes": True}
    params = REQUESTS["completions"] | details | {"seed": 1}
    with QStarClient(base_url=live.url) as client:
        body = params | {"model": client.models.only_id()}
    expected = httpx.post(f"{live.url}/v1/completions", json=body).json()["choices"][0]["thoughts"]
    outcome = outcome_of(package, live.url, "completions", params)
    assert outcome["answer"]["choices"][0]["thoughts"] == expected
    thoughts = [each["thought"] for each in outcome["events"] if each["type"] == "thought"]
    assert thoughts == expected


@pytest.mark.parametrize("call", REQUESTS)
def test_events_add_up_to_the_answer(
    package: Path, live: LiveServer, engine: FakeEngine, call: str
) -> None:
    outcome = outcome_of(package, live.url, call, REQUESTS[call] | {"show_thoughts": True})
    events, answer = outcome["events"], outcome["answer"]
    assert "".join(each["text"] for each in events if each["type"] == "text") == SCRIPT
    thoughts = [each["thought"] for each in events if each["type"] == "thought"]
    assert thoughts == (answer if call == "responses" else answer["choices"][0])["thoughts"]
    assert engine.aborted == [], "the end of the stream is no abort"
    assert [each["finish_reason"] for each in events if each["type"] == "finish"] == ["stop"]
    (usage,) = [each["usage"] for each in events if each["type"] == "usage"]
    assert usage["completion_tokens"] == len(thoughts) > 3
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3 * len(thoughts)
    if call == "responses":
        assert answer["output_text"] == SCRIPT


def test_a_call_of_a_tool(package: Path, live: LiveServer, engine: FakeEngine) -> None:
    written = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    engine.model = replace(engine.model, chat_template=QWEN_2_5)
    engine.script = [*engine.encode(written, add_special_tokens=False), engine.script[-1]]
    params = {"messages": MESSAGES, "tools": [TOOL]}
    outcome = outcome_of(package, live.url, "chat.completions", params)
    (call,) = [each for each in outcome["events"] if each["type"] == "tool_call"]
    assert (call["name"], call["arguments"], call["tool_index"]) == ("add", '{"a": 1}', 0)
    (choice,) = outcome["answer"]["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"
    assert choice["finish_reason"] == "tool_calls"


def test_models_and_tokens(package: Path, live: LiveServer, engine: FakeEngine) -> None:
    tokens = engine.encode(SCRIPT, add_special_tokens=False)
    tokenize = {"prompt": SCRIPT, "add_special_tokens": False, "return_token_strs": True}
    outcomes = outcomes_of(
        package,
        live.url,
        {"call": "models", "method": "list"},
        {"call": "models", "method": "retrieve", "params": engine.model.name},
        {"call": "models", "method": "retrieve", "params": "../../health"},
        {"call": "", "method": "tokenize", "params": tokenize},
        {"call": "", "method": "tokenize", "params": {"messages": MESSAGES}},
        {"call": "", "method": "detokenize", "params": {"tokens": tokens}},
        {"call": "", "method": "health"},
    )
    models, model, unknown, tokenized, conversation, text, is_ready = outcomes
    assert models["answer"]["data"] == [model["answer"]]
    assert model["answer"]["max_thought_tokens"] == engine.model.max_thought_tokens
    assert (unknown["error"]["name"], unknown["error"]["status"]) == ("NotFoundError", 404)
    assert tokenized["answer"]["tokens"] == tokens
    assert len(tokenized["answer"]["token_strs"]) == len(tokens)
    assert conversation["answer"]["count"] > 2
    assert text["answer"]["prompt"] == SCRIPT
    assert is_ready["answer"] is True


def test_refusals_are_those_of_the_python_client(package: Path, live: LiveServer) -> None:
    outcomes = outcomes_of(package, live.url, *whole_and_streamed(REFUSED))
    with QStarClient(base_url=live.url) as client:
        for number, (call, params) in enumerate(REFUSED):
            with pytest.raises(APIStatusError) as caught:
                python_answer(client, call, params)
            expected = caught.value
            for outcome in outcomes[2 * number : 2 * number + 2]:
                error = outcome["error"]
                assert error["name"] == type(expected).__name__, (call, params)
                assert error["message"] == expected.message
                assert error["status"] == expected.status_code
                assert (error["param"], error["code"]) == (expected.param, expected.code)
                assert error["requestId"]


@pytest.mark.parametrize(
    ("how", "outcome"),
    [("break", "done"), ("abort", "done"), ("signal", "AbortError"), ("create", "AbortError")],
)
@pytest.mark.parametrize("call", REQUESTS)
def test_leaving_frees_the_server(
    package: Path, live: LiveServer, engine: FakeEngine, call: str, how: str, outcome: str
) -> None:
    engine.step_s = 0.05
    options = {"baseURL": live.url}
    job = {"options": options, "call": call, "params": REQUESTS[call], "how": how}
    with running_program(package, "leaving.mjs", job) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        if how == "create":
            wait_until(lambda: engine.num_open == 1)
            program.stdin.write("now\n")
            program.stdin.flush()
        assert program.stdout.readline().strip() == outcome
        wait_until(lambda: engine.num_open == 0)
        assert program.poll() is None, "the end of the process would close the connection too"
    assert len(engine.aborted) == 1


def test_a_server_with_a_key(package: Path, engine: FakeEngine) -> None:
    config = ServerConfig.model_validate({"api_key": KEY, "drain_grace_s": 0.2})
    server = start_server(engine, config)
    try:
        for wrong in ("", "sk-wrong-key"):
            error = outcome_of(package, server.url, *chat(), apiKey=wrong)["error"]
            assert (error["name"], error["code"]) == ("AuthenticationError", "invalid_api_key")
            assert "wrong-key" not in str(error)
        outcome = outcome_of(package, server.url, *chat(), apiKey=KEY)
        assert outcome["answer"]["choices"][0]["message"]["content"] == SCRIPT
    finally:
        server.stop()


def chat() -> tuple[str, dict[str, Any]]:
    return "chat.completions", {"messages": MESSAGES}


def test_a_full_queue(package: Path, live: LiveServer, engine: FakeEngine) -> None:
    engine.is_full = True
    error = outcome_of(package, live.url, *chat())["error"]
    assert (error["name"], error["status"]) == ("RateLimitError", 429)
    assert (error["code"], error["retryAfterS"]) == ("queue_full", 7)


def test_a_server_that_does_not_want_a_request_again(package: Path) -> None:
    body = b'{"error": {"message": "restart it", "code": "engine_dead"}}'
    head = b"HTTP/1.1 503 Service Unavailable\r\nx-should-retry: false\r\n"
    answer = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    with answering(answer) as (url, requests):
        health = {"call": "", "method": "health"}
        params = {"prompt": "x", "model": "m"}
        create = {"call": "completions", "method": "create", "params": params}
        is_ready, refused = outcomes_of(package, url, health, create, maxRetries=5)
    assert is_ready == {"answer": False}
    error = refused["error"]
    assert (error["name"], error["status"]) == ("ServiceUnavailableError", 503)
    assert (error["message"], error["code"]) == ("restart it", "engine_dead")
    assert len(requests) == 2


CHUNK = piece(b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n')


@pytest.mark.parametrize(
    ("tail", "name"),
    [
        (b"", "APIConnectionError"),
        (b"ff\r\ndata", "APIConnectionError"),
        (piece(b""), "StreamError"),
    ],
    ids=["closed", "cut within a piece", "without [DONE]"],
)
def test_a_cut_stream(package: Path, tail: bytes, name: str) -> None:
    with answering(STREAM_HEAD + CHUNK + tail) as (url, requests):
        params = {"prompt": "x", "model": "m"}
        outcome = outcome_of(package, url, "completions", params, maxRetries=5)
    assert outcome["error"]["name"] == name
    assert outcome["events"] == [{"type": "text", "index": 0, "text": "a"}]
    assert requests == [b"POST /v1/completions HTTP/1.1"]


def test_a_redirect_is_not_followed(package: Path, live: LiveServer, engine: FakeEngine) -> None:
    head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {live.url}/v1/completions\r\n"
    with answering(f"{head}content-length: 0\r\n\r\n".encode()) as (url, _):
        outcome = outcome_of(package, url, "completions", {"prompt": "x", "model": "m"})
    assert f"redirects to {live.url}" in outcome["error"]["message"]
    assert outcome["error"]["status"] == 307
    assert engine.admitted == []


def test_nobody_listening(package: Path, live: LiveServer) -> None:
    live.stop()
    error = outcome_of(package, live.url, *chat())["error"]
    assert error["name"] == "APIConnectionError"
    assert f"{live.url}/v1/models" in error["message"]
    assert "ECONNREFUSED" in error["message"]
