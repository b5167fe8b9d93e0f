"""The programs in the README run unchanged, and its tables name what exists."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import qstar_client
from qstar_client import AsyncQStarClient, QStarClient

from .answers import CHAT, CHAT_CHUNKS, DONE, MODEL, RESPONSE
from .conftest import COMPLETION, Exchange, Script, WireServer, event

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
MAX_LINES = 130


def answer(exchange: Exchange) -> None:
    path = exchange.handler.path
    if b'"stream":true' in exchange.body:
        has_usage = b'"include_usage":true' in exchange.body
        exchange.start_stream()
        for chunk in CHAT_CHUNKS if has_usage else CHAT_CHUNKS[:-1]:
            exchange.send(event(chunk))
        exchange.send(DONE)
        exchange.send(b"")
    elif path == "/v1/models":
        exchange.reply(200, {"object": "list", "data": [MODEL]})
    else:
        answers = {"/v1/completions": COMPLETION, "/v1/chat/completions": CHAT}
        exchange.reply(200, answers.get(path, RESPONSE))


def test_readme_programs(
    serve: Callable[[Script], WireServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QSTAR_BASE_URL", serve(answer).base_url)
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(programs) == 4
    exec("\n".join(programs), {})  # each leans on the names of those before it
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [" 4", "2+2é", "2+2é", " 4."]
    assert lines[4:10] == [
        "'2'  weight 0.25  thought 'two and two'",
        "'+'  weight 0.25  thought 'two and two'",
        "text '2+'",
        "'2é'  weight 0.25  thought 'two and two'",
        "text '2é'",
        "2 tokens",
    ]
    assert lines[10] == "2+2é"
    assert "two and two" in "\n".join(lines[11:])


def test_every_call_of_the_table_exists() -> None:
    calls = set(re.findall(r"`client\.([a-z_.]+)", README))
    assert {"chat.completions.stream", "tokenize", "health"} <= calls
    for client in (QStarClient(), AsyncQStarClient()):
        for call in calls:
            value: object = client
            for name in call.split("."):
                value = getattr(value, name)
            assert callable(value), call


def test_every_error_and_event_is_named() -> None:
    names = [
        name
        for name in qstar_client.__all__
        if name.endswith(("Error", "Event")) and name not in ("ResponseError", "StreamEvent")
    ]
    assert len(names) > 15
    assert [name for name in names if name not in README] == []


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES
