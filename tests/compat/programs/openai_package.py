"""The official package, sync and async: python openai_package.py URL MODEL."""

import asyncio
import sys
from collections.abc import Callable

import openai
from pydantic import BaseModel

URL, MODEL = sys.argv[1:3]
PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "Say hello."}]


class Answer(BaseModel):
    """What structured output must give."""

    is_good: bool
    digit: int


def completions(client: openai.OpenAI) -> None:
    whole = client.completions.create(
        model=MODEL, prompt=[PROMPT, PROMPT], max_tokens=6, n=2, logprobs=2, echo=True, seed=1
    )
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    first = whole.choices[0]
    assert first.text.startswith(PROMPT)
    assert first.logprobs.token_logprobs[0] is None
    assert len(first.logprobs.tokens) == len(first.logprobs.text_offset)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = client.completions.create(
        model=MODEL,
        prompt=PROMPT,
        max_tokens=6,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"show_thoughts": True},
    )
    chunks = list(stream)
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    again = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=6, temperature=0)
    assert text == again.choices[0].text
    assert chunks[-1].usage.completion_tokens == 6
    assert any(choice.thoughts for chunk in chunks for choice in chunk.choices)


def chat(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_completion_tokens=64,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
    )
    choice = whole.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert len(choice.logprobs.content[0].top_logprobs) == 3
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, max_completion_tokens=64, temperature=0
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == choice.message.content
    parsed = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, max_tokens=64, response_format=Answer
    )
    assert isinstance(parsed.choices[0].message.parsed, Answer)


def responses(client: openai.OpenAI) -> None:
    whole = client.responses.create(
        model=MODEL, input="Say hello.", max_output_tokens=64, temperature=0
    )
    assert whole.output_text
    with client.responses.stream(
        model=MODEL, input="Say hello.", max_output_tokens=64, temperature=0
    ) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == whole.output_text
    parsed = client.responses.parse(model=MODEL, input="Say hello.", text_format=Answer)
    assert isinstance(parsed.output_parsed, Answer)


def errors(client: openai.OpenAI) -> None:
    unknown = error_of(lambda: client.chat.completions.create(model="no", messages=MESSAGES))
    assert isinstance(unknown, openai.NotFoundError)
    assert unknown.code == "model_not_found"
    long = error_of(lambda: client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=10**6))
    assert isinstance(long, openai.BadRequestError)
    assert long.code == "context_length_exceeded"
    assert "maximum context length" in long.message


def error_of(call: Callable[[], object]) -> openai.APIStatusError:
    try:
        call()
    except openai.APIStatusError as error:
        return error
    raise AssertionError("the call had no error")


async def asynchronous() -> None:
    async with openai.AsyncOpenAI(base_url=URL, api_key="none") as client:
        models = await client.models.list()
        assert models.data[0].id == MODEL
        assert (await client.models.retrieve(MODEL)).id == MODEL
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_completion_tokens=64, stream=True
        )
        assert [chunk async for chunk in stream][0].choices[0].delta.role == "assistant"
        events = await client.responses.create(
            model=MODEL, input="Say hello.", max_output_tokens=64, stream=True
        )
        kinds = [event.type async for event in events]
        assert kinds[0] == "response.created"
        assert kinds[-1] in ("response.completed", "response.incomplete")


def main() -> None:
    """Run all."""
    with openai.OpenAI(base_url=URL, api_key="none") as client:
        completions(client)
        chat(client)
        responses(client)
        errors(client)
    asyncio.run(asynchronous())


if __name__ == "__main__":
    main()
