"""Usage counts what docs/api.md says, and the schema says the same."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.wire import complete, stream

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
FREE: dict[str, Any] = {"seed": 5, "ignore_eos": True}


async def usages_of(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    """The usage of a request, whole and streamed."""
    whole = await complete(client, **fields)
    chunks = await stream(client, **fields, stream_options={"include_usage": True})
    return [whole["usage"], chunks[-1]["usage"]]


async def test_the_documented_example_is_true(any_client: httpx.AsyncClient) -> None:
    said = re.search(
        r"(\d+) visible tokens, each with a\s+thought of (\d+) tokens, are "
        r"(\d+) `completion_tokens` and (\d+) `reasoning_tokens`",
        PAGE,
    )
    assert said is not None
    visible, length, completion, reasoning = map(int, said.groups())
    fields = FREE | {"max_tokens": visible, "num_thought_tokens": length, "prompt": [65, 66]}
    for usage in await usages_of(any_client, **fields):
        assert usage == {
            "prompt_tokens": 2,
            "completion_tokens": completion,
            "total_tokens": 2 + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
        assert reasoning > completion, "an example of thoughts that exceed the text"


async def test_candidates_that_are_not_returned_count(any_client: httpx.AsyncClient) -> None:
    fields = FREE | {"max_tokens": 5, "n": 1, "best_of": 3, "prompt": [65, 66]}
    usage = (await complete(any_client, **fields))["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2, 15)
    assert usage["total_tokens"] == 17


async def test_prompt_thoughts_count_as_thoughts_only(any_client: httpx.AsyncClient) -> None:
    fields = FREE | {"max_tokens": 5, "prompt": [65, 66, 67], "num_thought_tokens": 2}
    (plain, _), (scored, _) = (
        await usages_of(any_client, **fields),
        await usages_of(any_client, **fields, echo=True, logprobs=0),
    )
    assert scored["completion_tokens"] == plain["completion_tokens"] == 5
    assert scored["total_tokens"] == plain["total_tokens"] == 8
    assert plain["completion_tokens_details"]["reasoning_tokens"] == 2 * 5
    assert scored["completion_tokens_details"]["reasoning_tokens"] == 2 * (5 + 2)


FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
)


async def test_tokens_of_the_prefix_cache_are_counted(real_client: httpx.AsyncClient) -> None:
    """The last token is always computed: 40 tokens are two full blocks, and 32 only one."""
    fields = FREE | {"max_tokens": 2, "prompt": list(range(60, 100))}
    first, streamed = await usages_of(real_client, **fields)
    assert first["prompt_tokens_details"] == {"cached_tokens": 0}
    assert streamed["prompt_tokens_details"] == {"cached_tokens": 32}
    shorter = fields | {"prompt": list(range(60, 92))}
    for usage in await usages_of(real_client, **shorter):
        assert usage["prompt_tokens_details"] == {"cached_tokens": 16}
        assert usage["prompt_tokens"] == 32
    salted, again = await usages_of(real_client, **fields, cache_salt="a tenant")
    assert salted["prompt_tokens_details"] == {"cached_tokens": 0}
    assert again["prompt_tokens_details"] == {"cached_tokens": 32}


async def test_a_scored_prompt_is_computed(real_client: httpx.AsyncClient) -> None:
    fields = FREE | {"max_tokens": 1, "prompt": list(range(100, 140)), "echo": True, "logprobs": 0}
    for usage in await usages_of(real_client, **fields):
        assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


async def test_the_cached_tokens_of_prompts_are_added_up(real_client: httpx.AsyncClient) -> None:
    prompt = list(range(150, 190))
    fields = FREE | {"max_tokens": 1, "n": 2}
    await complete(real_client, **fields, prompt=prompt)
    usage = (await complete(real_client, **fields, prompt=[prompt, prompt[:20]]))["usage"]
    assert usage["prompt_tokens"] == 60
    assert usage["prompt_tokens_details"] == {"cached_tokens": 32 + 16}


async def test_the_schema_describes_every_count(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    counts = schemas["Usage"]["properties"] | schemas["CompletionTokensDetails"]["properties"]
    counts |= schemas["PromptTokensDetails"]["properties"]
    said = {name: counts[name]["description"] for name in FIELDS}
    assert "max_tokens" in said["completion_tokens"]
    assert said["total_tokens"] == "`prompt_tokens` plus `completion_tokens`."
    assert "Not part of `completion_tokens`" in said["reasoning_tokens"]


@pytest.mark.parametrize("name", FIELDS)
def test_every_count_is_documented(name: str) -> None:
    section = PAGE.split("## Usage")[1].split("\n## ")[0]
    row = rf"^\| `((prompt|completion)_tokens_details\.)?{name}` \| .{{10}}"
    assert re.search(row, section, re.MULTILINE)
