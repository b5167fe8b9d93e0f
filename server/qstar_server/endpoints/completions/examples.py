"""Examples of requests, for `/openapi.json`."""

from qstar_server.http.openapi import MODEL, Examples

COMPLETION_EXAMPLES: Examples = {
    "A text": {"model": MODEL, "prompt": "Two plus two is", "max_tokens": 8, "temperature": 0},
    "With thoughts": {
        "model": MODEL,
        "prompt": "Two plus two is",
        "max_tokens": 4,
        "show_thoughts": True,
        "seed": 1,
    },
    "With all about its thoughts": {
        "model": MODEL,
        "prompt": "Two plus two is",
        "max_tokens": 4,
        "show_thoughts": True,
        "thought_top_logprobs": 3,
        "show_passes": True,
    },
    "As a stream": {
        "model": MODEL,
        "prompt": "Two plus two is",
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "Scores of a text": {
        "model": MODEL,
        "prompt": "Two plus two is four.",
        "max_tokens": 0,
        "echo": True,
        "logprobs": 1,
    },
    "Several prompts": {
        "model": MODEL,
        "prompt": ["Two plus two is", "Three plus three is"],
        "max_tokens": 4,
        "n": 2,
        "stop": ["."],
    },
}
