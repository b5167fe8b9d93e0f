"""The log of a whole server: its first lines, its form, and what happens if nobody can write it."""

import json
import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.server.fake_engine import SCRIPT
from tests.server.scripted_output import THOUGHT_TEXT
from tests.server.served_process import serve, url_of
from tests.server.wire import body, chunks_of

SECRET = "my secret prompt"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def use(url: str) -> None:
    """A whole answer and a stream with thoughts, and a refused request."""
    request = body(prompt=SECRET, show_thoughts=True, max_tokens=8)
    assert httpx.post(f"{url}/completions", json=request).status_code == 200
    stream = httpx.post(f"{url}/completions", json=request | {"stream": True})
    assert chunks_of(stream.text)
    assert httpx.post(f"{url}/completions", json=request | {"n": 0}).status_code == 400


def stop(process: subprocess.Popen[str]) -> str:
    """End a server by SIGTERM, which is a success.

    Returns:
        Its log.
    """
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    return log or ""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_every_line_has_the_form_and_none_a_text(level: str) -> None:
    """There was no line at all for 39 s, then two formats, none with a time."""
    process = serve("small", "--port", "0", "--log-level", level)
    use(url_of(process))
    log = stop(process)
    lines = log.splitlines()
    form = re.compile(rf"{TIME} (DEBUG|INFO|WARNING) [\w.]+: .+")
    assert not [line for line in lines if not form.fullmatch(line)]
    assert "INFO qstar_server.cli: settings that are not the defaults: model='small'" in lines[0]
    assert lines[1].endswith("INFO qstar_server.cli: loading small")
    kinds = [line.split()[2].removesuffix(":") for line in lines]
    assert kinds.index("qstar_server.process.engine_slot") > 0
    assert kinds.count("qstar_server.access") == 3
    for text in (SECRET, SECRET[3:9], SCRIPT[:5], THOUGHT_TEXT * 2):
        assert text not in log


def test_json_lines() -> None:
    process = serve("small", "--port", "0", "--log-format", "json")
    use(url_of(process))
    entries = [json.loads(line) for line in stop(process).splitlines()]
    assert entries[0]["message"].startswith("settings that are not the defaults: model='small'")
    assert entries[1]["message"] == "loading small"
    assert all(re.fullmatch(TIME, entry["time"]) for entry in entries)
    access = [entry for entry in entries if entry["logger"] == "qstar_server.access"]
    assert [entry["message"].split()[-1] for entry in access] == ["200", "200", "400"]
    assert all(re.fullmatch(r"[0-9a-f]{32}", entry["request_id"]) for entry in access)
    assert [entry.get("tokens") for entry in access] == [8, 8, None]


def test_a_server_serves_with_a_full_disk_for_its_log() -> None:
    with Path("/dev/full").open("w") as full:
        process = serve("small", "--port", "0", stderr=full)
        use(url_of(process))
        stop(process)


def test_a_server_serves_without_a_stderr() -> None:
    process = serve(
        "small", "--port", "0", stderr=subprocess.DEVNULL, preexec_fn=partial(os.close, 2)
    )
    use(url_of(process))
    stop(process)


def test_sigterm_right_after_the_first_line_is_obeyed() -> None:
    """It was lost until the web server had its own handler: the process then stayed for ever."""
    process = serve("slow", "--port", "0")
    assert process.stderr is not None
    assert process.stderr.readline()
    process.terminate()
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_a_server_serves_while_nobody_reads_its_log() -> None:
    """A full pipe blocks whoever writes to it; that must not be the event loop."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    process = serve("small", "--port", "0", stderr=writer)
    os.close(writer)
    use(url_of(process))
    stop(process)
    os.close(reader)
