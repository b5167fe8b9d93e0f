"""The forms of `prompt` that completions accept, and what they become."""

from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server import byte_tokens
from tests.server.byte_tokens import BOS, END_THOUGHT, EOS, START_THOUGHT, VOCAB_SIZE
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.in_process import serving
from tests.server.wire import complete, refused


@pytest.mark.parametrize(
    ("prompt", "token_ids"),
    [
        ("Hi", [[72, 105]]),
        (["Hi", "B"], [[72, 105], [66]]),
        ([72, 105], [[72, 105]]),
        ([[72], [66, 67]], [[72], [66, 67]]),
        ([0], [[0]]),
    ],
)
async def test_four_prompt_shapes(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any, token_ids: list[list[int]]
) -> None:
    whole = await complete(client, prompt=prompt, max_tokens=1)
    assert [request.prompt_token_ids for request in engine.submitted] == token_ids
    assert [choice["index"] for choice in whole["choices"]] == list(range(len(token_ids)))
    assert whole["usage"]["prompt_tokens"] == sum(len(ids) for ids in token_ids)


@pytest.mark.parametrize("prompt", [None, "", [""]])
async def test_null_and_empty_prompts_are_the_start_of_a_document(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any
) -> None:
    whole = await complete(client, prompt=prompt, add_special_tokens=True, echo=True, max_tokens=1)
    assert engine.submitted[0].prompt_token_ids == [BOS]
    assert whole["choices"][0]["text"] == "H"


async def test_an_empty_prompt_without_a_first_token_gets_the_document_start(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(byte_tokens.SPECIAL_TEXT, EOS, "<|endoftext|>")
    await complete(client, prompt=["", "A"], max_tokens=1)
    assert [request.prompt_token_ids for request in engine.submitted] == [[EOS], [65]]


@pytest.mark.parametrize("prompt", [None, "", ["A", ""]])
async def test_an_empty_prompt_is_refused_where_no_token_can_begin_it(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any
) -> None:
    assert (await refused(client, prompt=prompt))["param"] == "prompt"
    assert engine.submitted == []


@pytest.mark.parametrize(
    "prompt",
    [
        [],
        [[]],
        [[1], []],
        [1, "a"],
        ["a", 1],
        ["a", [1]],
        [[1], "a"],
        [[1], 2],
        [True],
        [1, False],
        [[True]],
        [1.0],
        [-1],
        [[-1]],
        [None],
        [["a"]],
        [[[1]]],
        {"text": "a"},
        3,
        True,
    ],
)
async def test_other_prompt_shapes_are_refused(client: httpx.AsyncClient, prompt: Any) -> None:
    assert (await refused(client, prompt=prompt))["param"] == "prompt"


@pytest.mark.parametrize("token_id", [START_THOUGHT, END_THOUGHT, VOCAB_SIZE, 2**40, 10**100])
async def test_delimiters_and_ids_outside_the_vocabulary_are_refused(
    client: httpx.AsyncClient, token_id: int
) -> None:
    assert (await refused(client, prompt=[token_id]))["param"] == "prompt"


async def test_text_prompts_get_special_tokens_and_token_id_prompts_never(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    for prompt in ("A", [65]):
        response = await client.post("/v1/completions", json={"model": MODEL, "prompt": prompt})
        assert response.status_code == 200
    assert [request.prompt_token_ids for request in engine.submitted] == [[BOS, 65], [65]]


@pytest.mark.parametrize("limit", [2, 200])
async def test_an_operator_limits_the_prompts_of_a_request(engine: FakeEngine, limit: int) -> None:
    """A limit above 128 had no effect: another check refused the request first."""
    async with serving(engine, ServerConfig(max_prompts=limit)) as client:
        error = await refused(client, prompt=["A"] * (limit + 1))
        whole = await complete(client, prompt=["A"] * limit, max_tokens=0)
    assert error["param"] == "prompt"
    assert f"holds {limit + 1} prompts; the most in one request is {limit}" in error["message"]
    assert engine.encode_calls == ["A"] * limit, "refused before it is tokenised"
    assert len(whole["choices"]) == limit


async def test_each_prompt_is_checked_once(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    """A prompt was checked three times, the third time on the engine's thread."""
    await complete(client, prompt=["A", "B"], n=2)
    assert engine.admitted == engine.submitted
    assert [request.prompt_token_ids for request in engine.admitted] == [[65], [66]]


async def test_one_refused_prompt_refuses_the_request(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await refused(client, prompt=[[65], [260]])
    assert engine.submitted == []


async def test_echo_shows_the_clients_text_not_its_tokens(client: httpx.AsyncClient) -> None:
    choice = (
        await complete(client, prompt="<s>é", add_special_tokens=True, echo=True, max_tokens=0)
    )["choices"][0]
    assert choice["text"] == "<s>é"


async def test_echo_of_token_ids_is_their_text(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt=[BOS, 65, 66], echo=True, max_tokens=1))["choices"][0]
    assert choice["text"] == "ABH"


async def test_a_far_too_long_text_is_refused_before_it_is_tokenised(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    error = await refused(client, prompt="x" * (16 * engine.model.max_model_len + 1))
    assert error["code"] == "context_length_exceeded"
    assert "maximum context length" in error["message"]
    assert engine.encode_calls == []
