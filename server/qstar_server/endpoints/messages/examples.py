"""Examples of requests, for `/openapi.json`."""

from typing import Any

from qstar_server.http.openapi import MODEL, Examples

_QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "What is two plus two?"}]

MESSAGES_EXAMPLES: Examples = {
    "A question": {"model": MODEL, "messages": _QUESTION, "max_tokens": 16, "temperature": 0},
    "With thoughts": {
        "model": MODEL,
        "messages": _QUESTION,
        "max_tokens": 32,
        "thinking": {"type": "adaptive"},
        "seed": 1,
    },
    "As a stream": {
        "model": MODEL,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is two plus two?"}]}
        ],
        "max_tokens": 32,
        "stop_sequences": ["."],
        "stream": True,
    },
}
COUNT_TOKENS_EXAMPLES: Examples = {
    "A question": {"model": MODEL, "messages": _QUESTION, "system": "Be brief."}
}
