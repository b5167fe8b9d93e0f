"""The official OpenAI client with chat, against a real socket."""

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from qstar_infer.errors import EngineDeadError
from qstar_infer.structured_outputs import StructuredOutputs
from tests.server.byte_tokens import EOS, token_ids_of
from tests.server.conversation.tool_calls.templates import QWEN_2_5
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, wait_until

HI: list[Any] = [{"role": "user", "content": "Hi"}]
LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string"}},
            "required": ["at"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALL = 'Well.\n<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call>'


def make_calling(engine: FakeEngine) -> None:
    engine.script = [*token_ids_of(CALL), EOS]
    engine.model = replace(engine.model, chat_template=QWEN_2_5, max_model_len=2048)


def test_whole_answer(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=HI, logprobs=True, top_logprobs=2, n=2, reasoning_effort="low"
    )
    assert [choice.message.content for choice in answer.choices] == [SCRIPT, SCRIPT]
    assert answer.choices[0].message.refusal is None
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    data = b"".join(bytes(each.bytes or []) for each in logprobs.content[:-1])
    assert data.decode() == SCRIPT
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens
    assert answer._request_id


def test_streamed_answer(openai_client: openai.OpenAI) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == SCRIPT
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


def test_the_stream_helper_rebuilds_the_whole_answer(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model=MODEL, messages=HI, logprobs=True, n=2
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= kinds
    assert [choice.message.content for choice in final.choices] == [SCRIPT, SCRIPT]
    whole = openai_client.chat.completions.create(model=MODEL, messages=HI, logprobs=True, n=2)
    for streamed, choice in zip(final.choices, whole.choices, strict=True):
        assert streamed.logprobs == choice.logprobs
        assert streamed.finish_reason == choice.finish_reason


def test_reasoning_and_thoughts_are_extra_fields(openai_client: openai.OpenAI) -> None:
    extra = {"include_reasoning": True, "show_thoughts": True}
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=2, extra_body=extra
    )
    message: Any = answer.choices[0].message
    assert message.reasoning == message.reasoning_content == "zqz\nzqz"
    choice: Any = answer.choices[0]
    assert len(choice.thoughts) == 2
    chunks = openai_client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=2, stream=True, extra_body=extra
    )
    deltas: list[Any] = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(getattr(each, "reasoning", None) or "" for each in deltas) == "zqz\nzqz"


def test_tools_whole_and_by_the_stream_helper(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    make_calling(engine)
    answer = openai_client.chat.completions.create(model=MODEL, messages=HI, tools=[LOOK])
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "look"
    assert answer.choices[0].finish_reason == "tool_calls"
    with openai_client.chat.completions.stream(model=MODEL, messages=HI, tools=[LOOK]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    (streamed,) = final.choices[0].message.tool_calls or []
    assert streamed.function.parsed_arguments == {"at": "é"}
    assert final.choices[0].message.content == "Well."
    result = {"role": "tool", "tool_call_id": call.id, "content": "7"}
    history: list[Any] = [*HI, answer.choices[0].message, result]
    followed = openai_client.chat.completions.create(model=MODEL, messages=history, tools=[LOOK])
    assert followed.choices
    assert engine.render_calls[-1]["messages"][1]["tool_calls"][0]["id"] == call.id


class Person(BaseModel):
    name: str
    age: int


def test_parse_gives_the_pydantic_model(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.script = [*token_ids_of('{"name": "Ada", "age": 36}'), EOS]
    answer = openai_client.chat.completions.parse(model=MODEL, messages=HI, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    form = engine.submitted[0].params.structured_outputs
    assert isinstance(form, StructuredOutputs)
    assert isinstance(form.json, str)
    assert set(json.loads(form.json)["properties"]) == {"name", "age"}
    with openai_client.chat.completions.stream(
        model=MODEL, messages=HI, response_format=Person
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


def test_parse_gives_the_arguments_of_a_pydantic_tool(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    make_calling(engine)
    call = '<tool_call>\n{"name": "Person", "arguments": {"name": "Ada", "age": 36}}\n</tool_call>'
    engine.script = [*token_ids_of(call), EOS]
    answer = openai_client.chat.completions.parse(
        model=MODEL, messages=HI, tools=[openai.pydantic_function_tool(Person)]
    )
    (parsed,) = answer.choices[0].message.tool_calls or []
    assert parsed.function.parsed_arguments == Person(name="Ada", age=36)


async def test_async_client_with_concurrent_streams(live: LiveServer) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key="none", max_retries=0
    ) as client:

        async def streamed() -> str:
            chunks = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

        assert await asyncio.gather(*[streamed() for _ in range(8)]) == [SCRIPT] * 8
        answer = await client.chat.completions.create(model=MODEL, messages=HI)
        assert answer.choices[0].message.content == SCRIPT


def test_errors_are_typed(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model=MODEL, messages=HI, temperature=3)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="maximum context length") as caught:
        openai_client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "a" * 600}]
        )
    assert (caught.value.param, caught.value.code) == ("messages", "context_length_exceeded")
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="other", messages=HI)


def test_a_failure_in_a_stream_is_typed(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.step_s = 0.01
    chunks = openai_client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    next(chunks)
    engine.fail(RuntimeError("hush"))
    with pytest.raises(openai.APIError, match="internal error"):
        list(chunks)


def test_closing_a_stream_early_frees_its_request(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    chunks = openai_client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    next(chunks)
    chunks.close()
    wait_until(lambda: len(engine.aborted) == 1)


def test_a_client_that_leaves_before_the_answer_frees_its_request(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.is_hung = True
    with pytest.raises(openai.APITimeoutError):
        openai_client.chat.completions.create(model=MODEL, messages=HI, timeout=0.3)
    wait_until(lambda: len(engine.aborted) == 1)


def test_a_dead_engine_is_not_retried(live: LiveServer, engine: FakeEngine) -> None:
    engine.is_hung = True

    def die_once_asked() -> None:
        wait_until(lambda: engine.num_open == 1)
        engine.die(EngineDeadError("hush"))

    dying = threading.Thread(target=die_once_asked)
    dying.start()
    with (
        openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=5) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=HI)
    dying.join()
    assert caught.value.code == "engine_dead"
    assert len(engine.submitted) == 1
