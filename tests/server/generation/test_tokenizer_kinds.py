"""Offsets of echoed and generated tokens over HTTP, with several kinds of tokenizers."""

import json
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from qstar_server.settings.config import ServerConfig
from transformers import LlamaConfig, LlamaForCausalLM

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.server.in_process import serving
from tests.text.tokenizer_kinds import tokenizer_of

PROMPTS = ["日本語 the cat", "x 😀 y", "ﬁne  cafe\u0301 ", "<s>the", " a ", "株 né"]


def save_model_with(kind: str, directory: Path) -> None:
    """A random plain model whose embedding has a row for each token, and a few more."""
    tokenizer = tokenizer_of(kind)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 3,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


@pytest.fixture(
    scope="module", params=["gpt2", "llama2", "gemma", "unigram-nfkc-fallback", "bert", "clip"]
)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def engine(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("model")
    save_model_with(kind, directory)
    args = EngineArgs.of(model=str(directory), device="cpu", served_model_name="m", num_blocks=64)
    engine = create_async_engine(args)
    yield engine
    engine.close()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine, ServerConfig()) as client:
        yield client


async def complete(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    given = {"model": "m", "echo": True, "logprobs": 0, "max_tokens": 12, "temperature": 1.5}
    answer = await client.post("/v1/completions", json=given | {"seed": 3} | fields)
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


async def streamed(client: httpx.AsyncClient, **fields: Any) -> tuple[str, list[int]]:
    """The joined text and offsets of a stream."""
    given = {"model": "m", "echo": True, "logprobs": 0, "max_tokens": 12, "temperature": 1.5}
    answer = await client.post("/v1/completions", json=given | {"seed": 3, "stream": True} | fields)
    chunks = [
        json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")
    ]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    offsets = [each for choice in choices for each in choice["logprobs"]["text_offset"]]
    return "".join(choice["text"] for choice in choices), offsets


async def test_the_tokens_of_prompt_and_output_share_out_the_text(
    client: httpx.AsyncClient,
) -> None:
    for prompt in PROMPTS:
        choice = await complete(client, prompt=prompt)
        text, offsets = choice["text"], choice["logprobs"]["text_offset"]
        assert text.startswith(prompt)
        assert offsets[0] == 0
        assert len(prompt) in offsets, "the output begins where the prompt ends"
        assert offsets == sorted(offsets)
        assert offsets[-1] <= len(text)
        assert "".join(text[a:b] for a, b in pairwise([*offsets, len(text)])) == text
        assert await streamed(client, prompt=prompt) == (text, offsets)


async def test_token_ids_give_the_text_that_they_decode_to(
    client: httpx.AsyncClient, kind: str
) -> None:
    tokenizer = tokenizer_of(kind)
    ids = [1, *tokenizer(PROMPTS[0], add_special_tokens=False).input_ids]
    for skips in (True, False):
        choice = await complete(client, prompt=ids, skip_special_tokens=skips)
        expected = tokenizer.decode(ids, skip_special_tokens=skips)
        assert choice["text"].startswith(expected)
        assert choice["logprobs"]["text_offset"][len(ids)] == len(expected)


async def test_a_stop_string_is_found_where_it_is(client: httpx.AsyncClient) -> None:
    for prompt in PROMPTS[:2]:
        whole = (await complete(client, prompt=prompt, echo=False))["text"]
        stop = whole[3:5]
        choice = await complete(client, prompt=prompt, echo=False, stop=stop)
        assert choice["text"] == whole[: whole.index(stop)]
        assert choice["finish_reason"] == "stop"
