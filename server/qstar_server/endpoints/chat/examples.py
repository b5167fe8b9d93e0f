"""Examples of requests, for `/openapi.json`."""

from qstar_server.http.openapi import MODEL, Examples

CHAT_EXAMPLES: Examples = {
    "A question": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
        "max_tokens": 16,
        "temperature": 0,
    },
    "With thoughts": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
        "max_tokens": 4,
        "show_thoughts": True,
        "include_reasoning": True,
        "seed": 1,
    },
    "As a stream": {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is two plus two?"}]},
        ],
        "max_completion_tokens": 64,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "With log-probabilities": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
        "max_tokens": 4,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "none",
    },
}
