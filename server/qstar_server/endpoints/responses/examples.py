"""Examples of requests, for `/openapi.json`."""

from qstar_server.http.openapi import MODEL, Examples

RESPONSES_EXAMPLES: Examples = {
    "A question": {
        "model": MODEL,
        "input": "What is two plus two?",
        "max_output_tokens": 64,
        "temperature": 0,
    },
    "With thoughts": {
        "model": MODEL,
        "input": "What is two plus two?",
        "max_output_tokens": 32,
        "show_thoughts": True,
        "include_reasoning": True,
        "seed": 1,
    },
    "As a stream": {
        "model": MODEL,
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "What is two plus two?"}]}
        ],
        "max_output_tokens": 64,
        "stream": True,
    },
    "With log-probabilities": {
        "model": MODEL,
        "input": "What is two plus two?",
        "max_output_tokens": 16,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "reasoning": {"effort": "none"},
    },
}
