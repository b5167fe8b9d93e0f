"""Scripted answers of every endpoint, as the server gives them."""

from typing import Any

from .conftest import event

DONE = b"data: [DONE]\n\n"
MODEL = {"id": "tiny", "object": "model", "created": 1, "owned_by": "us"}
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 6},
}
RESPONSE_USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 6},
    "total_tokens": 5,
}


def thought(token: str, text: str = "two and two", weight: float = 0.25) -> dict[str, Any]:
    return {
        "token": token,
        "token_id": 5,
        "thought": text,
        "thought_token_ids": [1, 2],
        "mixing_weight": weight,
        "logprob": -0.5,
        "base_logprob": -1.5,
    }


def token_logprob(token: str) -> dict[str, Any]:
    own = {"token": token, "logprob": -0.5, "bytes": list(token.encode())}
    return {**own, "top_logprobs": [own]}


def chat_chunk(
    delta: dict[str, Any] | None, *, index: int = 0, usage: Any = None, **fields: Any
) -> dict[str, Any]:
    """One chunk; without a choice if `delta` is None."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **fields}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "system_fingerprint": "fp",
        "choices": [] if delta is None else [choice],
        "usage": usage,
    }


CHAT_CHUNKS = [
    chat_chunk({"role": "assistant", "content": ""}),
    chat_chunk(
        {"content": "2+", "reasoning": "a", "reasoning_content": "a"},
        thoughts=[thought("2"), thought("+")],
        logprobs={"content": [token_logprob("2"), token_logprob("+")], "refusal": None},
    ),
    chat_chunk(
        {"content": "2é", "reasoning": "b", "reasoning_content": "b"},
        thoughts=[thought("2é")],
        logprobs={"content": [token_logprob("2é")], "refusal": None},
    ),
    chat_chunk({}, finish_reason="stop"),
    chat_chunk(None, usage=USAGE),
]
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "2+2é",
                "refusal": None,
                "reasoning": "ab",
                "reasoning_content": "ab",
            },
            "logprobs": {"content": [token_logprob(t) for t in ("2", "+", "2é")], "refusal": None},
            "finish_reason": "stop",
            "thoughts": [thought("2"), thought("+"), thought("2é")],
        }
    ],
    "usage": USAGE,
}


def call_part(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, "function": function, **fields}


TOOL_CHUNKS = [
    chat_chunk({"role": "assistant", "content": None}),
    chat_chunk({"tool_calls": [call_part(0, "", id="c0", type="function", name="add")]}),
    chat_chunk({"tool_calls": [call_part(0, '{"a"')]}),
    chat_chunk({"tool_calls": [call_part(0, ": 1}")]}),
    chat_chunk({"tool_calls": [call_part(1, "{}", id="c1", type="function", name="now")]}),
    chat_chunk({}, finish_reason="tool_calls"),
]

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": " 4.", "annotations": [], "logprobs": []}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "tiny",
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "ab"}],
        },
        MESSAGE,
    ],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": RESPONSE_USAGE,
    "thoughts": [thought(" 4"), thought(".")],
}
EMPTY_RESPONSE = {**RESPONSE, "status": "in_progress", "output": [], "usage": None, "thoughts": []}


def response_event(name: str, number: int, **fields: Any) -> bytes:
    """One named event of a response's stream."""
    body = {"type": f"response.{name}", "sequence_number": number, **fields}
    return f"event: response.{name}\n".encode() + event(body)


def _delta(kind: str, number: int, index: int, delta: str, **fields: Any) -> bytes:
    place = {"item_id": f"item_{index}", "output_index": index, "content_index": 0}
    return response_event(f"{kind}.delta", number, delta=delta, **place, **fields)


RESPONSE_EVENTS = [
    response_event("created", 0, response=EMPTY_RESPONSE),
    response_event("in_progress", 1, response=EMPTY_RESPONSE),
    response_event(
        "output_item.added",
        2,
        output_index=1,
        item={**MESSAGE, "content": [], "status": "in_progress"},
        thoughts=[thought(" 4")],
    ),
    _delta("reasoning_text", 3, 0, "a"),
    _delta("output_text", 4, 1, " 4", logprobs=[]),
    _delta("reasoning_text", 5, 0, "b", thoughts=[thought(".")]),
    _delta("output_text", 6, 1, ".", logprobs=[]),
    response_event("output_item.done", 7, output_index=1, item=MESSAGE),
    response_event("completed", 8, response=RESPONSE),
]
