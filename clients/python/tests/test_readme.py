"""The programs in the README run unchanged."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CHOICE, COMPLETION, Exchange, Script, WireServer, event

README = Path(__file__).parents[1] / "README.md"
THOUGHT = {
    "token": " 4",
    "token_id": 604,
    "thought": " two pairs",
    "thought_token_ids": [7, 8],
    "mixing_weight": 0.5,
    "logprob": -0.1,
    "base_logprob": -1.2,
}
MODEL = {"id": "tiny", "object": "model", "created": 1, "owned_by": "us"}


def answer(exchange: Exchange) -> None:
    if exchange.handler.command == "GET":
        exchange.reply(200, {"object": "list", "data": [MODEL]})
    elif b'"stream":true' in exchange.body:
        exchange.start_stream()
        exchange.send(event({**COMPLETION, "choices": [{**CHOICE, "thoughts": [THOUGHT]}]}))
        exchange.send(b"data: [DONE]\n\n")
        exchange.send(b"")
    else:
        exchange.reply(200, COMPLETION)


def test_readme_programs(
    serve: Callable[[Script], WireServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QSTAR_BASE_URL", serve(answer).base_url)
    first_call, streaming = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(first_call + streaming, {})  # the second program leans on the first one's import
    text, thought, usage = capsys.readouterr().out.splitlines()
    assert text == " 4"
    assert thought == "' 4'  weight 0.50  thought ' two pairs'"
    assert "reasoning_tokens=6" in usage


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 40
