"""Examples of requests, for `/openapi.json`."""

from qstar_server.http.openapi import MODEL, Examples

TOKENIZE_EXAMPLES: Examples = {
    "A text": {"model": MODEL, "prompt": "Two plus two is four.", "return_token_strs": True},
    "A conversation": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is two plus two?"}],
    },
}
DETOKENIZE_EXAMPLES: Examples = {"Token ids": {"model": MODEL, "tokens": [35, 65, 66]}}
