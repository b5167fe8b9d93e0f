"""The official OpenAI client against a real socket."""

import asyncio
import threading

import openai
import pytest

from qstar_infer.errors import EngineDeadError
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, wait_until
from tests.server.scripted_output import THOUGHT_TEXT


def test_whole_completion(openai_client: openai.OpenAI) -> None:
    completion = openai_client.completions.create(
        model=MODEL, prompt="A", max_tokens=100, logprobs=2, n=2
    )
    assert [choice.text for choice in completion.choices] == [SCRIPT, SCRIPT]
    assert completion.choices[0].finish_reason == "stop"
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.tokens[0] == "H"
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens
    assert completion._request_id


def test_streamed_completion(openai_client: openai.OpenAI) -> None:
    chunks = list(
        openai_client.completions.create(
            model=MODEL,
            prompt="A",
            max_tokens=100,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == SCRIPT
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 2


@pytest.mark.parametrize("is_shown", [False, True])
def test_thoughts_through_extra_body(openai_client: openai.OpenAI, is_shown: bool) -> None:
    fields = {"show_thoughts": is_shown, "num_thought_tokens": 2}
    completion = openai_client.completions.create(
        model=MODEL, prompt="A", max_tokens=2, extra_body=fields
    )
    thoughts = getattr(completion.choices[0], "thoughts", None)
    if is_shown:
        assert thoughts is not None
        assert [thought["thought"] for thought in thoughts] == ["zq", "zq"]
    else:
        assert THOUGHT_TEXT not in completion.model_dump_json()
        assert thoughts is None


async def test_async_client_with_concurrent_requests(live: LiveServer) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key="none", max_retries=0
    ) as client:

        async def streamed() -> str:
            chunks = await client.completions.create(
                model=MODEL, prompt="A", max_tokens=100, stream=True
            )
            return "".join([chunk.choices[0].text async for chunk in chunks])

        assert await asyncio.gather(*[streamed() for _ in range(8)]) == [SCRIPT] * 8
        completion = await client.completions.create(model=MODEL, prompt=[[65], [66]], echo=True)
        assert [choice.text[0] for choice in completion.choices] == ["A", "B"]


def test_models(openai_client: openai.OpenAI) -> None:
    models = openai_client.models.list().data
    assert [model.id for model in models] == [MODEL]
    assert openai_client.models.retrieve(MODEL).owned_by == "qstar"


def test_bad_request_is_typed(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.completions.create(model=MODEL, prompt="A", temperature=3)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"


def test_too_long_a_request_has_openais_code(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length") as caught:
        openai_client.completions.create(model=MODEL, prompt="A", max_tokens=10_000)
    assert caught.value.code == "context_length_exceeded"


def test_unknown_model_is_typed(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.completions.create(model="other", prompt="A")
    assert caught.value.code == "model_not_found"


def test_full_queue_is_typed(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.is_full = True
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.completions.create(model=MODEL, prompt="A")
    assert caught.value.response.headers["retry-after"] == "7"


def test_dead_engine_is_typed_and_not_retried(live: LiveServer, engine: FakeEngine) -> None:
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
        client.completions.create(model=MODEL, prompt="A")
    dying.join()
    assert (caught.value.status_code, caught.value.code) == (503, "engine_dead")
    assert len(engine.submitted) == 1


def test_a_failure_in_a_stream_is_typed(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.step_s = 0.01
    chunks = openai_client.completions.create(
        model=MODEL, prompt="A", max_tokens=400, stream=True, extra_body={"ignore_eos": True}
    )
    next(chunks)
    engine.fail(RuntimeError("hush"))
    with pytest.raises(openai.APIError, match="internal error"):
        list(chunks)


def test_closing_a_stream_early_frees_its_request(
    openai_client: openai.OpenAI, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    chunks = openai_client.completions.create(model=MODEL, prompt="A", max_tokens=400, stream=True)
    next(chunks)
    chunks.close()
    wait_until(lambda: len(engine.aborted) == 1)
