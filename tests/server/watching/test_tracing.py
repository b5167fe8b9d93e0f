"""Traces: a span for each request, in the caller's trace, without any text."""

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode
from qstar_server import app as app_module
from qstar_server.settings.config import ServerConfig
from qstar_server.watching import spans as spans_module
from qstar_server.watching.spans import SpanWriter

from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.in_process import serving
from tests.server.scripted_output import THOUGHT_TEXT
from tests.server.served_process import serve, url_of
from tests.server.wire import body

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "my secret prompt"
CONVENTIONS = {
    value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")
}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(
    engine: FakeEngine, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(spans_module, "BatchSpanProcessor", SimpleSpanProcessor)
    writer = SpanWriter(spans)
    monkeypatch.setattr(app_module, "create_span_writer", lambda _: writer)
    config = ServerConfig(otlp_traces_endpoint="http://unused")
    async with serving(engine, config) as client:
        yield client


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_completion_has_one_span_with_its_numbers(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter, is_stream: bool
) -> None:
    request = body(prompt=SECRET, max_tokens=5, ignore_eos=True, stream=is_stream)
    headers = {"x-request-id": "r1"}
    response = await traced.post("/v1/completions", json=request, headers=headers)
    span = only(spans)
    assert (span.name, span.kind) == ("POST /v1/completions", SpanKind.SERVER)
    assert span.status.status_code is StatusCode.UNSET
    attributes = dict(span.attributes or {})
    assert span.start_time is not None
    assert span.end_time is not None
    first_chunk_s = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(first_chunk_s, float)
    assert 0 < first_chunk_s <= (span.end_time - span.start_time) / 1e9
    response_id = attributes.pop("gen_ai.response.id")
    assert isinstance(response_id, str)
    assert f'"id":"{response_id}"' in response.text
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/completions",
        "http.response.status_code": 200,
        "qstar.request_id": "r1",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "qstar",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": len(SECRET),
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "qstar.usage.thought_tokens": 15,
    }
    assert {name for name in attributes if name.startswith("gen_ai.")} <= CONVENTIONS
    assert span.resource.attributes["service.name"] == "qstar"


async def test_a_span_is_part_of_the_callers_trace(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    await traced.post("/v1/completions", json=body(), headers=headers)
    span = only(spans)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID


async def test_a_caller_that_does_not_sample_gets_no_span(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
    await traced.post("/v1/completions", json=body(), headers=headers)
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("traceparent", ["", "x", "00-0-0-01", f"00-{'0' * 32}-{PARENT_ID}-01"])
async def test_a_malformed_parent_begins_a_new_trace(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter, traceparent: str
) -> None:
    headers = {"traceparent": traceparent}
    response = await traced.post("/v1/completions", json=body(), headers=headers)
    assert response.status_code == 200
    assert only(spans).parent is None


async def test_refusals_name_their_reason_and_are_no_failures(
    traced: httpx.AsyncClient, engine: FakeEngine, spans: InMemorySpanExporter
) -> None:
    await traced.post("/v1/completions", json=body(n=0))
    engine.is_full = True
    await traced.post("/v1/completions", json=body())
    refused, full = spans.get_finished_spans()
    assert refused.status.status_code is full.status.status_code is StatusCode.UNSET
    assert [dict(span.attributes or {})["error.type"] for span in (refused, full)] == [
        "invalid_request_error",
        "queue_full",
    ]
    assert "gen_ai.request.model" not in dict(refused.attributes or {})


async def test_an_error_of_the_engine_is_a_failure(
    traced: httpx.AsyncClient, engine: FakeEngine, spans: InMemorySpanExporter
) -> None:
    engine.is_hung = True
    for is_stream in (True, False):
        asking = asyncio.create_task(traced.post("/v1/completions", json=body(stream=is_stream)))
        while not engine.num_open:
            await asyncio.sleep(0.005)
        engine.fail(ValueError("a bug"))
        await asking
    for span in spans.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert dict(span.attributes or {})["error.type"] == "internal_error"


async def test_health_metrics_and_unknown_paths_leave_no_span(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    for path in ("/health", "/health_generate", "/metrics", "/nothing"):
        await traced.get(path)
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("show_thoughts", [True, False])
async def test_no_text_is_in_a_span(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter, show_thoughts: bool
) -> None:
    request = body(prompt=SECRET, show_thoughts=show_thoughts, user=SECRET)
    await traced.post("/v1/completions", json=request)
    await traced.post("/v1/completions", json=request | {"model": SECRET})
    shown = "".join(span.to_json() for span in spans.get_finished_spans())
    for text in (SECRET, SECRET[3:9], SCRIPT[:5], THOUGHT_TEXT * 2):
        assert text not in shown


def test_without_the_extra_traces_are_a_mistake_that_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['opentelemetry.sdk'] = None\n"
        "from qstar_server.app import create_app\n"
        "from qstar_server.settings.config import ServerConfig\n"
        "create_app(lambda: None, ServerConfig())\nprint('off is fine')\n"
        "create_app(lambda: None, ServerConfig(otlp_traces_endpoint='http://localhost:4318'))\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout == "off is fine\n"
    last = result.stderr.splitlines()[-1]
    assert last.startswith("qstar_infer.errors.ConfigError: otlp_traces_endpoint is 'http://local")
    assert last.endswith("Run: pip install 'qstar[tracing]'")


def test_without_traces_the_sdk_is_not_even_imported() -> None:
    code = (
        "import sys\nfrom qstar_server.app import create_app\n"
        "from qstar_server.settings.config import ServerConfig\n"
        "create_app(lambda: None, ServerConfig())\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Collector(BaseHTTPRequestHandler):
    """An OTLP collector."""

    received: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(ExportTraceServiceRequest.FromString(content))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_reach_a_collector_before_the_server_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Collector.received = []
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
    monkeypatch.setenv("QSTAR_OTLP_TRACES_ENDPOINT", endpoint)
    process = serve("small", "--port", "0")
    httpx.post(f"{url_of(process)}/completions", json=body(max_tokens=3))
    process.terminate()
    _, log = process.communicate(timeout=20)
    server.shutdown()
    thread.join()
    server.server_close()
    assert process.returncode == 0, log
    names = [
        span.name
        for request in Collector.received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert names == ["POST /v1/completions"]


@pytest.mark.slow
def test_a_collector_that_is_away_costs_spans_and_no_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QSTAR_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    process = serve("small", "--port", "0")
    answer = httpx.post(f"{url_of(process)}/completions", json=body(max_tokens=3))
    assert answer.status_code == 200
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in log.splitlines())
