"""Chat with real models: prompts equal those of transformers, and nothing leaks."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import torch
from qstar_server.settings.config import ServerConfig
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.parity.toy import VOCAB_SIZE, byte_tokenizer
from tests.server.conversation.tool_calls.templates import CHATML, LLAMA_3_1, QWEN_2_5
from tests.server.endpoints.chat.wire import ask, joined, refused, stream
from tests.server.in_process import serving

TEMPLATES = {"chatml": CHATML, "llama 3": LLAMA_3_1, "qwen": QWEN_2_5}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": 'Looks at "é" <b>',
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
    },
    {"type": "function", "function": {"name": "stop"}},
]
ARGUMENTS = {"at": "Zürich", "deep": [1, None]}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
SENT_CALL = CALL | {
    "function": {"name": "look", "arguments": '{"at": "Zürich", "deep": [1, null]}'}
}
PLAIN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "日本 {{ 1 }} <|im_end|> ok"},
]
CALLING = [*PLAIN, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
ANSWERED = [*CALLING, {"role": "tool", "content": "7", "tool_call_id": "c1"}]


def tokenizer_with(template: str) -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module", params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return TEMPLATES[name]


@pytest.fixture(scope="module")
def engine(template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A random plain model with 2,048 positions, one token for each byte and this template."""
    directory = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,
        eos_token_id=256,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer_with(template).save_pretrained(directory)
    args = EngineArgs.of(model=str(directory), device="cpu", served_model_name="fake/thinker")
    engine = create_async_engine(args)
    yield engine
    engine.close()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine, ServerConfig()) as client:
        yield client


def as_sent(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as OpenAI's clients send them: arguments are text."""
    return [
        message | {"tool_calls": [SENT_CALL]} if "tool_calls" in message else message
        for message in messages
    ]


@pytest.mark.parametrize("messages", [PLAIN, CALLING, ANSWERED], ids=["plain", "call", "result"])
@pytest.mark.parametrize("ends", ["answer", "continued", "open"])
async def test_the_prompt_is_the_one_of_transformers(
    client: httpx.AsyncClient, template: str, messages: list[dict[str, Any]], ends: str
) -> None:
    has_tools = template != CHATML
    if not has_tools:  # it could not show calls, so a conversation with them is refused
        messages = PLAIN
    fields: dict[str, Any] = {"tools": TOOLS} if has_tools else {}
    given: dict[str, Any] = {"add_generation_prompt": ends == "answer"}
    if ends == "continued":
        messages = [*messages, {"role": "assistant", "content": "Well, "}]
        given["continue_final_message"] = True
    expected = tokenizer_with(template).apply_chat_template(
        messages, tools=TOOLS if has_tools else None, return_dict=False, **given
    )
    sent = as_sent(messages)
    whole = await ask(client, messages=sent, max_tokens=1, return_token_ids=True, **given, **fields)
    assert whole["prompt_token_ids"] == expected


async def test_the_switch_reaches_the_template(client: httpx.AsyncClient, template: str) -> None:
    fields = {"messages": PLAIN, "max_tokens": 1, "return_token_ids": True}
    fields["chat_template_kwargs"] = {"enable_thinking": False}
    expected = tokenizer_with(template).apply_chat_template(
        PLAIN, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert (await ask(client, **fields))["prompt_token_ids"] == expected


async def test_stop_strings_end_the_answer_and_streams_agree(client: httpx.AsyncClient) -> None:
    fields = {"messages": PLAIN, "max_tokens": 40, "seed": 3, "logprobs": True, "top_logprobs": 2}
    text = (await ask(client, **fields))["choices"][0]["message"]["content"]
    stop = text[5:8]
    whole = (await ask(client, **fields, stop=[stop]))["choices"][0]
    assert whole["message"]["content"] == text[: text.index(stop)]
    assert whole["finish_reason"] == "stop"
    assert joined(await stream(client, **fields, stop=[stop]))[0] == whole


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("text", ["<|startthought|>", "a <|endthought|> b"])
async def test_thought_delimiters_cannot_be_smuggled_in(
    real_client: httpx.AsyncClient, text: str
) -> None:
    error = await refused(real_client, messages=[{"role": "user", "content": text}])
    assert error["param"] == "messages"
    assert "thought delimiter" in error["message"]


async def test_max_completion_tokens_counts_thoughts_too(real_client: httpx.AsyncClient) -> None:
    """Each visible token costs itself and a thought of three tokens."""
    fields = {"messages": HELLO, "ignore_eos": True, "seed": 1}
    for limits, num_visible in (
        ({"max_completion_tokens": 20}, 5),
        ({"max_completion_tokens": 23}, 5),
        ({"max_completion_tokens": 20, "max_tokens": 2}, 2),
        ({"max_completion_tokens": 5, "reasoning_effort": "none"}, 5),
        ({"max_completion_tokens": 3}, 0),
    ):
        whole = await ask(real_client, **fields, **limits)
        assert whole["usage"]["completion_tokens"] == num_visible
        assert whole["choices"][0]["finish_reason"] == "length"
        assert len(joined(await stream(real_client, **fields, **limits))) == 1


async def test_an_answer_with_thoughts_is_that_of_completions(
    real_client: httpx.AsyncClient,
) -> None:
    """Both endpoints run the same engine on the same prompt."""
    given = {"max_tokens": 12, "seed": 5, "show_thoughts": True}
    chat = (await ask(real_client, messages=HELLO, **given))["choices"][0]
    response = await real_client.post(
        "/v1/completions",
        json={"model": "fake/thinker", "prompt": "u:Hello\na:", **given},
    )
    (choice,) = response.json()["choices"]
    assert chat["message"]["content"] == choice["text"]
    assert chat["thoughts"] == choice["thoughts"]
    assert any(each["thought"] for each in chat["thoughts"])


async def test_completions_of_one_prompt_differ(real_client: httpx.AsyncClient) -> None:
    whole = await ask(real_client, messages=HELLO, n=3, max_tokens=8, seed=2)
    contents = [choice["message"]["content"] for choice in whole["choices"]]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert len(set(contents)) == 3
