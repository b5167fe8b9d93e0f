"""The official client against a running server, answers held to the golden completions."""

import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CompletionChoice

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "A" / "eval.json").read_text())
PROMPT = GOLDEN["prompts"][0]["text"]
WANTED = GOLDEN["behaviours"]["kept"]["completions"][0]
MODEL = "checkpoint"


@pytest.fixture
def client(golden_server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{golden_server}/v1", api_key="none", max_retries=0)


def thoughts_of(choice: CompletionChoice) -> list[dict[str, Any]]:
    """A field of ours; the official client keeps it without a type."""
    thoughts: list[dict[str, Any]] = choice.to_dict()["thoughts"]  # type: ignore[assignment]
    return thoughts


def test_a_completion_with_its_thoughts(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL,
        prompt=PROMPT,
        max_tokens=24,
        temperature=0,
        extra_body={"show_thoughts": True},
    )
    choice = answer.choices[0]
    assert choice.text == WANTED["text"]
    thoughts = thoughts_of(choice)
    assert [thought["token_id"] for thought in thoughts] == WANTED["ids"]
    assert all(len(thought["thought_token_ids"]) == 5 for thought in thoughts)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 24
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 24 * 5


def test_a_stream_is_the_same_text_and_thoughts(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model=MODEL,
        prompt=PROMPT,
        max_tokens=24,
        temperature=0,
        stream=True,
        extra_body={"show_thoughts": True},
    )
    choices = [chunk.choices[0] for chunk in stream]
    assert "".join(choice.text for choice in choices) == WANTED["text"]
    ids = [thought["token_id"] for choice in choices for thought in thoughts_of(choice)]
    assert ids == WANTED["ids"]
    assert [choice.finish_reason for choice in choices][-1] == "length"


def test_thoughts_stay_hidden_unless_asked_for(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=2)
    assert "thoughts" not in answer.choices[0].to_dict()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 600}, "max_tokens"),
        ({"suffix": "x"}, "suffix"),
        ({"extra_body": {"num_thought_tokens": 1000}}, "num_thought_tokens"),
        ({"prompt": [501]}, "prompt"),
        ({"prompt": "a <|startthought|> b"}, "prompt"),
        ({"logit_bias": {"502": 1}}, "logit_bias"),
    ],
)
def test_what_cannot_be_done_is_a_bad_request_that_names_it(
    client: openai.OpenAI, fields: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": MODEL, "prompt": PROMPT, **fields})
    assert caught.value.param == param


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="other", prompt=PROMPT)
    assert caught.value.code == "model_not_found"


def test_a_full_server_says_when_to_come_back_and_frees_who_left(client: openai.OpenAI) -> None:
    streams = [
        client.completions.create(
            model=MODEL, prompt=PROMPT, max_tokens=480, stream=True, extra_body={"ignore_eos": True}
        )
        for _ in range(3)
    ]
    with pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(model=MODEL, prompt=PROMPT)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    for stream in streams:  # two running, one queued: all three go away
        stream.close()
    for _ in range(100):
        try:
            assert client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=1).choices
            return
        except openai.RateLimitError:
            time.sleep(0.1)
    pytest.fail("the server still holds requests of clients that are gone")


def test_prompt_scores_are_one_for_each_token(client: openai.OpenAI) -> None:
    ids = GOLDEN["prompts"][1]["ids"]
    answer = client.completions.create(
        model=MODEL, prompt=[ids], max_tokens=1, temperature=0, echo=True, logprobs=1
    )
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert scores.token_logprobs is not None
    assert len(scores.token_logprobs) == len(ids) + 1
    assert scores.token_logprobs[0] is None
    assert all(score is not None and score < 0 for score in scores.token_logprobs[1:])
