"""`qstar bench serve`: arrivals, what a stream's events mean, percentiles, goodput."""

import asyncio
import json
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from qstar_infer.bench.serve.arrivals import poisson_arrivals
from qstar_infer.bench.serve.client import RequestRecord, send
from qstar_infer.bench.serve.load import check_client, model_of
from qstar_infer.bench.serve.run import ServeConfig, new_prompts, summary
from qstar_infer.cli.main import app
from qstar_infer.errors import ConfigError

CHECKPOINT = str(Path(__file__).parents[1] / "golden" / "A" / "checkpoint")


def test_arrivals_are_poisson() -> None:
    """Of a Poisson process the gaps have mean and deviation 1 / rate, and the counts of seconds
    have as much variance as mean. 20,000 arrivals: each is known to a few percent."""
    arrivals = poisson_arrivals(10.0, 2000.0, seed=1)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < 2000.0
    gaps = [b - a for a, b in zip(arrivals, arrivals[1:], strict=False)]
    assert statistics.mean(gaps) == pytest.approx(0.1, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.1, rel=0.05)
    counts = [0] * 2000
    for arrival in arrivals:
        counts[int(arrival)] += 1
    assert statistics.variance(counts) == pytest.approx(statistics.mean(counts), rel=0.1)


def test_arrivals_follow_their_seed() -> None:
    assert poisson_arrivals(2.0, 50.0, seed=3) == poisson_arrivals(2.0, 50.0, seed=3)
    assert poisson_arrivals(2.0, 50.0, seed=3) != poisson_arrivals(2.0, 50.0, seed=4)


def test_no_two_requests_have_the_same_prompt() -> None:
    """Each rate and mode had the same prompts, so that all but the first found them in the prefix
    cache; and the seed changed only the arrivals."""
    prompts = {seed: [*islice(new_prompts(ServeConfig(seed=seed)), 200)] for seed in (0, 1)}
    assert len({*prompts[0], *prompts[1]}) == 400
    assert prompts[0] == [*islice(new_prompts(ServeConfig(seed=0)), 200)]


# --- one request --------------------------------------------------------------------------------


def answered(text: str, status: int = 200) -> tuple[RequestRecord, dict[str, object]]:
    """What `send` records of this body, and the request that it sent."""
    sent: dict[str, object] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent.update(json.loads(request.content))
        return httpx.Response(status, text=text)

    async def run() -> RequestRecord:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as client:
            return await send(client, {"prompt": "x"}, due=time.perf_counter() - 1.0)

    return asyncio.run(run()), sent


def event(num_tokens: int) -> str:
    usage = {"prompt_tokens": 7, "completion_tokens": num_tokens}
    return f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"


def test_tokens_are_counted_by_usage() -> None:
    """A chunk without new tokens (held-back text, the last usage) is not a token's time."""
    text = event(1) + ": comment\n\n" + event(3) + event(3) + "data: [DONE]\n\n"
    record, sent = answered(text)
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert record.error is None
    assert (record.num_tokens, record.num_prompt_tokens) == (3, 7)
    assert len(record.token_times) == 2
    assert len(record.gaps) == 1
    assert record.ttft_s is not None
    assert record.ttft_s >= 1.0  # it was due a second before it was sent


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ('{"error": {"message": "busy"}}', 429, "HTTP 429"),
        ('data: {"error": {"message": "it broke"}}\n\ndata: [DONE]\n\n', 200, "it broke"),
        (event(1), 200, "without [DONE]"),
    ],
)
def test_failures_are_recorded(text: str, status: int, message: str) -> None:
    record, _ = answered(text, status)
    assert record.error is not None
    assert message in record.error
    assert not record.is_within(ttft_s=9.0, gap_s=9.0)


# --- many requests ------------------------------------------------------------------------------


def record(*times: float, error: str | None = None) -> RequestRecord:
    return RequestRecord(
        token_times=list(times), num_tokens=len(times), end_s=times[-1], error=error
    )


def test_summary_of_a_load() -> None:
    """Limits 1 s and 0.5 s: the second starts late, the third goes on slowly, the fourth fails."""
    records = [record(0.5, 0.6, 0.9), record(2.0, 2.1), record(0.5, 1.5), record(0.1, error="x")]
    found = summary(records, [0.0, 1.0, 2.0, 3.0], ttft_s=1.0, gap_s=0.5)
    assert found["goodput"] == 0.25
    assert (found["num_requests"], found["num_failed"], found["first_error"]) == (4, 1, "x")
    assert found["ttft_s"]["p50"] == 0.5
    assert found["itl_s"]["p50"] == pytest.approx(statistics.median([0.1, 0.3, 0.1, 1.0]))
    assert found["e2e_s"]["p50"] == 1.5
    assert found["tok_s"] == pytest.approx(8 / 3.5)  # the last token came at 2.0 + 1.5


def test_without_httpx_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"needs httpx.*qstar\[bench\]"):
        check_client()


def test_no_server_is_said() -> None:
    with pytest.raises(ConfigError, match="--url http://127.0.0.1:9/v1: no server"):
        model_of("http://127.0.0.1:9/v1")


@pytest.mark.slow
def test_a_server_is_started_and_loaded(tmp_path: Path) -> None:
    path, chart = tmp_path / "serve.json", tmp_path / "serve.svg"
    line = ["bench", "serve", "--model", CHECKPOINT, "--dtype", "float32", "--rate", "4,8"]
    line += ["--duration", "1", "--prompt-words", "4", "--max-tokens", "3"]
    line += ["--json", str(path), "--plot", str(chart)]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    points = json.loads(path.read_text())["points"]
    assert [(point["mode"], point["rate"]) for point in points] == [
        (mode, rate) for rate in (4.0, 8.0) for mode in ("plain", "thinking")
    ]
    for point in points:
        assert point["num_requests"] == len(poisson_arrivals(point["rate"], 1.0, seed=0))
        assert point["num_failed"] == 0
        assert point["ttft_s"]["p50"] <= point["e2e_s"]["p50"]
    assert chart.exists()


@pytest.mark.slow
def test_a_server_that_cannot_start_is_an_error() -> None:
    line = ["bench", "serve", "--model", "./no-such-model", "--duration", "1"]
    result = CliRunner().invoke(app, line)
    assert isinstance(result.exception, ConfigError)
    assert "no-such-model" in str(result.exception)
