"""Examples of requests, for `/openapi.json`."""

from qstar_server.openapi import MODEL, Examples

MESSAGES_EXAMPLES: Examples = {
    "A question": {
        "model": MODEL,
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
        "temperature": 0,
    },
    "As a stream": {
        "model": MODEL,
        "max_tokens": 16,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is two plus two?"}]}
        ],
        "stream": True,
    },
}
COUNT_TOKENS_EXAMPLES: Examples = {
    "A question": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
    }
}
