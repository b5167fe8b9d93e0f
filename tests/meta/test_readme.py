"""The README is short, and what it tells a newcomer to send is a valid request."""

import re
from pathlib import Path

from qstar_server.endpoints.completions.protocol import CompletionRequest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
MAX_LINES = 100


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_curl_sends_a_valid_request() -> None:
    match = re.search(r"curl .* -d '(?P<body>\{.*?\})'", README, flags=re.DOTALL)
    assert match is not None
    request = CompletionRequest.model_validate_json(match["body"])
    assert request.show_thoughts
    assert request.max_tokens == 8
