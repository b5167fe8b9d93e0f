"""`/tokenize`, `/detokenize` and `/tokenizer_info`, compared with the tokenizer; and `/version`."""

import asyncio
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
from qstar_server.endpoints.tokenizer.protocol import MAX_CHARS, MAX_TOKENS
from qstar_server.settings.config import ServerConfig
from transformers import AutoTokenizer

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from tests.parity.toy import make_toy
from tests.server.byte_tokens import BOS, END_THOUGHT, EOS, VOCAB_SIZE
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.in_process import serving
from tests.server.real_engine import CHAT_TEMPLATE, save_toy
from tests.server.wire import error_of

TEXTS = ["", "test", "Hé 😀\n", "a</s>b", "\0", " two  spaces "]


async def post(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    response = await client.post(path, json=fields)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert isinstance(answer, dict)
    return answer


async def refused(
    client: httpx.AsyncClient, path: str, status: int = 400, **fields: Any
) -> dict[str, Any]:
    response = await client.post(path, json=fields)
    assert response.status_code == status, response.text
    assert len(response.content) < 2000
    return error_of(response)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("adds", [True, False, None])
async def test_a_text_has_the_ids_that_its_tokenizer_gives(
    real_client: httpx.AsyncClient, text: str, adds: bool | None
) -> None:
    tokenizer = make_toy().model.tokenizer
    expected = tokenizer(text, add_special_tokens=adds is not False).input_ids
    answer = await post(real_client, "/tokenize", prompt=text, add_special_tokens=adds)
    assert answer == {
        "count": len(expected),
        "max_model_len": (await real_client.get("/v1/models")).json()["data"][0]["max_model_len"],
        "tokens": expected,
        "token_strs": None,
    }


async def test_names_are_those_of_the_vocabulary(real_client: httpx.AsyncClient) -> None:
    tokenizer = make_toy().model.tokenizer
    answer = await post(real_client, "/tokenize", prompt="aé </s>", return_token_strs=True)
    assert answer["token_strs"] == tokenizer.convert_ids_to_tokens(answer["tokens"])


@pytest.mark.parametrize("text", TEXTS)
async def test_ids_go_back_to_their_text(real_client: httpx.AsyncClient, text: str) -> None:
    ids = await post(real_client, "/tokenize", prompt=text, add_special_tokens=False)
    assert await post(real_client, "/detokenize", tokens=ids["tokens"]) == {"prompt": text}


async def test_the_text_of_special_tokens_is_kept(client: httpx.AsyncClient) -> None:
    answer = await post(client, "/detokenize", tokens=[BOS, 65, END_THOUGHT, EOS])
    assert answer == {"prompt": "<s>A<|end|></s>"}


async def test_the_tokenizer_is_described(real_client: httpx.AsyncClient) -> None:
    tokenizer = make_toy().model.tokenizer
    info = (await real_client.get("/tokenizer_info")).json()
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert info[name] == getattr(tokenizer, name)
    assert info["tokenizer_class"] == type(tokenizer).__name__
    assert info["vocab_size"] == len(tokenizer)
    assert info["chat_template"] == CHAT_TEMPLATE


async def test_the_release_is_named(client: httpx.AsyncClient) -> None:
    assert (await client.get("/version")).json() == {"version": metadata.version("qstar")}


@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/detokenize", "/v1/version"])
async def test_there_is_no_other_path(client: httpx.AsyncClient, path: str) -> None:
    error_of(response := await client.get(path))
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "fields"), [("/tokenize", {"prompt": "A"}), ("/detokenize", {"tokens": [65]})]
)
async def test_another_model_is_404(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any]
) -> None:
    assert await post(client, path, model=MODEL, tenant="ignored", **fields)
    error = await refused(client, path, 404, model="other", **fields)
    assert error["code"] == "model_not_found"


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hé 😀"}]},
    {"role": "assistant", "content": "Ja"},
]
TEMPLATE = (
    "{{ bos_token }}{% for tool in tools or [] %}[{{ tool.function.name }}]{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_generation_prompt": False},
        {"continue_final_message": True},
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
    ],
    ids=str,
)
async def test_a_conversation_has_the_ids_that_transformers_gives(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """The template is the checkpoint's; content in parts is text for it."""
    directory = save_toy(tmp_path / "checkpoint")
    (directory / "chat_template.jinja").write_text(TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    plain = [message | {"content": _text(message["content"])} for message in MESSAGES]
    adds_prompt = not options.get("continue_final_message")
    expected = tokenizer.apply_chat_template(
        plain, return_dict=False, **{"add_generation_prompt": adds_prompt} | options
    )
    engine = create_async_engine(EngineArgs.of(model=str(directory), num_blocks=64))
    try:
        async with serving(engine, ServerConfig()) as client:
            answer = await post(client, "/tokenize", messages=MESSAGES, **options)
            info = (await client.get("/tokenizer_info")).json()
    finally:
        engine.close()
    assert answer["tokens"] == expected
    assert answer["count"] == len(expected)
    assert info["chat_template"] == TEMPLATE


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "A", "messages": MESSAGES}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "x", "content": "A"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": MESSAGES * 1000}, "messages"),
        (
            {"messages": MESSAGES, "add_generation_prompt": True, "continue_final_message": True},
            "continue_final_message",
        ),
        ({"messages": MESSAGES, "chat_template": "{{ 1 }}"}, "chat_template"),
        ({"messages": MESSAGES, "tools": [{}]}, "tools"),
        (
            {
                "messages": MESSAGES,
                "tools": [{"type": "function", "function": {"name": "no name"}}],
            },
            "tools",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_is_no_conversation_is_refused(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    assert (await refused(client, "/tokenize", **fields))["param"] == param


async def test_a_model_without_a_template_says_so(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.model = replace(engine.model, chat_template=None)
    error = await refused(client, "/tokenize", messages=MESSAGES)
    assert "no chat template" in error["message"]
    assert (await client.get("/tokenizer_info")).json()["chat_template"] is None


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        65,
        "A",
        [[65]],
        [-1],
        [True],
        [65.0],
        ["65"],
        [None],
        [VOCAB_SIZE],
        [2**63],
        [10**4000],
        [-(10**4000)],
        [65] * (MAX_TOKENS + 1),
        ["x" * 300] * 1000,
    ],
    ids=lambda tokens: str(tokens)[:20],
)
async def test_what_are_no_ids_is_refused(client: httpx.AsyncClient, tokens: Any) -> None:
    assert (await refused(client, "/detokenize", tokens=tokens))["param"] == "tokens"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": None},
        {"prompt": ["A"]},
        {"prompt": [65]},
        {"prompt": 1},
        {"prompt": "x" * (MAX_CHARS + 1)},
        {"prompt": "A", "add_special_tokens": 1},
        {"prompt": "A", "return_token_strs": "yes"},
        {"prompt": "A", "model": 1},
    ],
    ids=lambda fields: str(fields)[:40],
)
async def test_what_is_no_text_is_refused(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    error = await refused(client, "/tokenize", **fields)
    assert error["param"] == next(reversed(fields))


async def test_a_field_that_is_missing_is_named(client: httpx.AsyncClient) -> None:
    assert (await refused(client, "/detokenize"))["param"] == "tokens"


async def test_an_embedding_with_more_rows_than_tokens_has_no_wrong_ids() -> None:
    """A padding row has no text, but it is an id like any other."""
    engine = FakeEngine()
    engine.tokenizer = type(engine.tokenizer)(
        tokenizer_class="x",
        num_tokens=VOCAB_SIZE + 1,
        bos_token=None,
        eos_token=None,
        pad_token=None,
        unk_token=None,
    )
    async with serving(engine, ServerConfig()) as client:
        assert await post(client, "/detokenize", tokens=[65, VOCAB_SIZE]) == {"prompt": "A"}
        await refused(client, "/detokenize", tokens=[VOCAB_SIZE + 1])
    engine.close()


async def test_the_event_loop_is_free_while_a_long_text_is_converted(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """The tokenizer waits until another request has been served."""
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    encode = engine.encode

    def slow(text: str, *, add_special_tokens: bool = True) -> list[int]:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(10)
        return encode(text, add_special_tokens=add_special_tokens)

    engine.encode = slow  # type: ignore[method-assign]
    tokenizing = asyncio.create_task(post(client, "/tokenize", prompt="A"))
    assert (await client.get("/health")).status_code == 200
    released.set()
    assert (await tokenizing)["tokens"] == [BOS, 65]
