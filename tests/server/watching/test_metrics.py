"""`GET /metrics`: names, and counts of a known workload, read by the client's own parser."""

import asyncio
import re
import threading
from pathlib import Path

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.in_process import client_of, serving
from tests.server.live_server import LiveServer, wait_until
from tests.server.scrape import Scrape, scrape
from tests.server.wire import body, complete, stream

ROOT = Path(__file__).parents[3]
GAUGES = {
    *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"),
    *("cache_config_info", "num_lanes"),
}
COUNTERS = {
    *("prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "generation_tokens"),
    *("request_success", "num_preemptions", "admission_rejections"),
    *("thought_tokens", "drafts_accepted", "drafts_rejected"),
}
HISTOGRAMS = {
    *("request_prompt_tokens", "request_generation_tokens"),
    *("time_to_first_token_seconds", "inter_token_latency_seconds"),
    *("e2e_request_latency_seconds", "request_queue_time_seconds"),
    *("request_prefill_time_seconds", "request_decode_time_seconds"),
    *("step_rows", "step_time_seconds", "mixing_weight", "request_passes_per_token"),
}


async def test_names_and_kinds_are_the_documented_ones(real_client: httpx.AsyncClient) -> None:
    await complete(real_client)
    families = (await scrape(real_client)).families
    expected = {
        **dict.fromkeys(GAUGES, "gauge"),
        **dict.fromkeys(COUNTERS, "counter"),
        **dict.fromkeys(HISTOGRAMS, "histogram"),
    }
    ours = {
        name.removeprefix("qstar:"): family.type
        for name, family in families.items()
        if name.startswith("qstar:")
    }
    assert ours == expected
    others = {name for name in families if not name.startswith("qstar:")}
    assert {"http_requests", "process_resident_memory_bytes"} <= others
    for name in expected:
        family = families[f"qstar:{name}"]
        assert family.documentation
        assert {sample.labels["model_name"] for sample in family.samples} == {MODEL}


async def test_the_documentation_has_every_metric(real_client: httpx.AsyncClient) -> None:
    await complete(real_client)
    families = (await scrape(real_client)).families.values()
    exposed = {
        (family.name + "_total" * (family.type == "counter"), family.type)
        for family in families
        if not family.name.startswith("process_")
    }
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w:]+)` \| (gauge|counter|histogram) \|", page, re.M)
    assert set(documented) == exposed
    assert len(documented) == len(exposed)


async def test_the_cache_says_how_it_is_divided(real_client: httpx.AsyncClient) -> None:
    """A router computes from these labels which part of a prompt a server may have cached."""
    labels = {"block_size": "16", "num_gpu_blocks": "512"}
    assert (await scrape(real_client)).value("qstar:cache_config_info", **labels) == 1


async def test_counts_are_those_of_a_known_workload(real_client: httpx.AsyncClient) -> None:
    before = await scrape(real_client)
    fields = {"ignore_eos": True, "seed": 1}
    await complete(real_client, prompt=[[65, 66, 67], [68]], max_tokens=4, n=2, **fields)
    await stream(real_client, prompt=[65, 66], max_tokens=7, **fields)
    await complete(real_client, prompt=[65], max_tokens=3, num_thought_tokens=0, **fields)
    after = await scrape(real_client)

    def grown(name: str, **labels: str) -> float:
        return after.value(f"qstar:{name}", **labels) - before.value(f"qstar:{name}", **labels)

    assert grown("prompt_tokens_total") == 4 + 2 + 1
    assert grown("generation_tokens_total") == 2 * 2 * 4 + 7 + 3
    thinking_tokens = 2 * 2 * 4 + 7
    assert grown("thought_tokens_total") == 3 * thinking_tokens
    assert grown("mixing_weight_count") == thinking_tokens
    assert grown("request_success_total", finished_reason="length") == 6
    assert grown("request_passes_per_token_count") == 6
    assert grown("request_prompt_tokens_count") == 4
    assert grown("request_prompt_tokens_sum") == 7
    assert grown("request_prompt_tokens_bucket", le="1.0") == 2
    assert grown("request_generation_tokens_count") == 6
    assert grown("request_generation_tokens_sum") == 26
    assert grown("request_generation_tokens_bucket", le="5.0") == 5
    assert grown("time_to_first_token_seconds_count") == 4
    assert grown("inter_token_latency_seconds_count") == 26 - 6
    assert grown("e2e_request_latency_seconds_count") == 4
    for stage in ("queue", "prefill", "decode"):
        assert grown(f"request_{stage}_time_seconds_count") == 4
    assert grown("step_rows_count") == grown("step_time_seconds_count") > 0
    assert after.value("qstar:num_requests_running") == 0
    assert after.value("qstar:kv_cache_usage_perc") == 0
    assert after.value("qstar:num_lanes") == 0


async def test_times_add_up(real_client: httpx.AsyncClient) -> None:
    """Queue, prefill and decode are parts of the whole; the tokens' gaps span the decoding."""
    before = await scrape(real_client)
    await complete(real_client, max_tokens=8, ignore_eos=True)
    after = await scrape(real_client)

    def grown(name: str) -> float:
        name = f"qstar:{name}_seconds_sum"
        return after.value(name) - before.value(name)

    parts = [grown(f"request_{stage}_time") for stage in ("queue", "prefill", "decode")]
    assert all(part > 0 for part in parts)
    assert sum(parts) <= grown("e2e_request_latency")
    first, rest = grown("time_to_first_token"), grown("inter_token_latency")
    assert first + rest == pytest.approx(grown("e2e_request_latency"), rel=1e-6)


async def test_http_requests_have_bounded_labels(client: httpx.AsyncClient) -> None:
    """A path or method of a client must not become a label: anyone could fill the memory."""
    before = await scrape(client)
    for number in range(20):
        await client.get(f"/nothing/{number}")
        await client.get(f"/v1/models/unknown{number}")
        await client.request(f"METHOD{number}", "/health")
    await client.head("/health")
    await client.put("/v1/completions")
    await complete(client)
    after = await scrape(client)

    def grown(handler: str, method: str, status: int) -> float:
        labels = {"handler": handler, "method": method, "status": str(status)}
        try:
            old = before.value("http_requests_total", **labels)
        except AssertionError:
            old = 0
        return after.value("http_requests_total", **labels) - old

    assert grown("other", "GET", 404) == 20
    assert grown("/v1/models/{model_id}", "GET", 404) == 20
    assert grown("/health", "other", 405) == 20
    assert grown("/health", "HEAD", 200) == 1
    assert grown("/v1/completions", "PUT", 405) == 1
    assert grown("/v1/completions", "POST", 200) == 1
    assert grown("/metrics", "GET", 200) == 1


async def test_rejections_are_counted_by_reason(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_full = True
    for _ in range(3):
        assert (await client.post("/v1/completions", json=body())).status_code == 429
    engine.is_full = False
    assert (await client.post("/v1/completions", json=body(n=0))).status_code == 400
    found = await scrape(client)
    name = "qstar:admission_rejections_total"
    assert found.by_label(name, "reason") == {"queue_full": 3}
    assert found.value("http_requests_total", handler="/v1/completions", status="429") == 3
    assert found.value("http_requests_total", handler="/v1/completions", status="400") == 1


async def test_what_is_aborted_or_fails_is_counted(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    fields = {"max_tokens": 400, "ignore_eos": True, "n": 2}
    leaving = asyncio.create_task(client.post("/v1/completions", json=body(**fields)))
    while not engine.num_open:
        await asyncio.sleep(0.005)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    while engine.num_open:
        await asyncio.sleep(0.005)
    failing = asyncio.create_task(client.post("/v1/completions", json=body(**fields)))
    while not engine.num_open:
        await asyncio.sleep(0.005)
    engine.fail(ValueError("a bug"))
    assert (await failing).status_code == 500
    found = await scrape(client)
    reasons = found.by_label("qstar:request_success_total", "finished_reason")
    assert reasons == {"abort": 2, "error": 2}
    assert found.value("qstar:e2e_request_latency_seconds_count") == 0


async def test_a_client_that_leaves_a_stream_is_an_abort(
    live: LiveServer, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    request = body(stream=True, max_tokens=400, ignore_eos=True)
    with httpx.stream("POST", f"{live.url}/v1/completions", json=request) as response:
        next(response.iter_lines())
    wait_until(lambda: not engine.num_open)
    found = Scrape(httpx.get(f"{live.url}/metrics").text)
    reasons = found.by_label("qstar:request_success_total", "finished_reason")
    assert reasons == {"abort": 1}


async def test_while_loading_the_server_counts_by_itself(config: ServerConfig) -> None:
    loaded = threading.Event()
    engine = FakeEngine()

    def load() -> Engine:
        loaded.wait(20)
        return engine

    app = create_app(load, config)
    app.state.engine_slot.start_loading()
    async with client_of(app) as client:
        assert (await client.post("/v1/completions", json=body())).status_code == 503
        found = await scrape(client)
        assert found.value("http_requests_total", status="503") == 1
        assert "qstar:num_requests_running" not in found.families
        loaded.set()
        while (await client.get("/health")).status_code != 200:
            await asyncio.sleep(0.005)
        found = await scrape(client)
    rejections = found.by_label("qstar:admission_rejections_total", "reason")
    assert rejections == {"model_loading": 1}
    engine.close()


async def test_a_draining_server_and_one_whose_engine_is_closed_can_be_scraped(
    config: ServerConfig,
) -> None:
    engine = FakeEngine()
    app = create_app(lambda: engine, config)
    slot = app.state.engine_slot
    slot.start_loading()
    async with client_of(app) as client:
        while slot.engine is None:
            await asyncio.sleep(0.005)
        slot.start_draining()
        assert (await scrape(client)).value("qstar:num_requests_running") == 0
        slot.close()
        assert (await scrape(client)).value("qstar:num_requests_running") == 0


async def test_applications_do_not_share_counts(engine: FakeEngine, config: ServerConfig) -> None:
    async with serving(engine, config) as one, serving(engine, config) as other:
        await complete(one)
        assert (await scrape(one)).value("qstar:prompt_tokens_total") == 1
        assert (await scrape(other)).value("qstar:prompt_tokens_total") == 0


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,*/*;q=0.2",
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
        "application/openmetrics-text; version=0.0.1",
        "text/plain;version=1.0.0;escaping=underscores",
        "*/*",
    ],
    ids=["Prometheus 3", "Prometheus 2", "old OpenMetrics", "underscores", "anything"],
)
async def test_all_scrapers_get_the_same_names(accept: str, real_client: httpx.AsyncClient) -> None:
    """Prometheus 2 got samples with names such as `qstar_num_lanes`, which no query asks for."""
    response = await real_client.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {line.split("{")[0].split(" ")[0] for line in response.text.splitlines()}
    assert {f"qstar:{name}" for name in GAUGES} <= names
    assert {f"qstar:{name}_total" for name in COUNTERS} <= names
    assert {f"qstar:{name}_bucket" for name in HISTOGRAMS} <= names
