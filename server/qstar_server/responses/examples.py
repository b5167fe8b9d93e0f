"""Examples of requests, for `/openapi.json`."""

from qstar_server.openapi import MODEL, Examples

RESPONSES_EXAMPLES: Examples = {
    "A question": {
        "model": MODEL,
        "input": "What is two plus two?",
        "max_output_tokens": 64,
        "temperature": 0,
    },
    "With thoughts": {
        "model": MODEL,
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "What is two plus two?"}],
        "max_output_tokens": 64,
        "include_reasoning": True,
        "show_thoughts": True,
        "seed": 1,
    },
    "As a stream": {
        "model": MODEL,
        "input": "What is two plus two?",
        "max_output_tokens": 64,
        "reasoning": {"effort": "none"},
        "stream": True,
    },
}
