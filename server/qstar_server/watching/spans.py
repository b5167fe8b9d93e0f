"""One span for each request, with the attributes of the GenAI conventions. Never a text.

Imports OpenTelemetry, so that only `tracing.py` imports this module.
"""

import threading
from collections.abc import Iterator

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from qstar_server.watching.metrics.request_counts import OTHER
from qstar_server.watching.request_record import GenerationRecord, RequestRecord

Attribute = str | int | float | list[str]

_UNTRACED = {"/health", "/health_generate", "/metrics", OTHER}
_OPERATIONS = {"/v1/completions": "text_completion"}
"""`gen_ai.operation.name` by route; the others are chats."""
_FLUSH_S = 2.0


class SpanWriter:
    """Writes spans from records, once their requests have ended."""

    def __init__(self, exporter: SpanExporter) -> None:
        """
        Args:
            exporter: gets the spans in batches, on a thread of its own.
        """
        self._exporter = exporter
        named = Resource({SERVICE_NAME: "qstar"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("qstar_server")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str) -> "SpanWriter":
        """Sends spans to an OTLP endpoint."""
        return cls(OTLPSpanExporter(endpoint=endpoint))

    def write(self, record: RequestRecord) -> None:
        """Write the span of a request. A sampled-out `traceparent` is respected."""
        if record.route in _UNTRACED:
            return
        carrier = {} if record.traceparent is None else {"traceparent": record.traceparent}
        span = self._tracer.start_span(
            f"{record.method} {record.route}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=record.started_ns,
            attributes=dict(_attributes(record)),
        )
        if record.status is not None and (record.status >= 500 or _has_failed(record)):
            span.set_status(Status(StatusCode.ERROR))
        span.end(record.started_ns + round(record.duration_s * 1e9))

    def close(self) -> None:
        """Send what is left, for up to two seconds."""
        flush = threading.Thread(target=self._provider.force_flush, daemon=True)
        flush.start()
        flush.join(_FLUSH_S)
        self._exporter.shutdown()  # ends its retries, which may take much longer
        self._provider.shutdown()


def _has_failed(record: RequestRecord) -> bool:
    """Whether an error ended a stream that began as a success."""
    return record.generation is not None and "error" in record.generation.finish_reasons


def _attributes(record: RequestRecord) -> Iterator[tuple[str, Attribute]]:
    yield "http.request.method", record.method
    yield "http.route", record.route
    if record.status is not None:
        yield "http.response.status_code", record.status
    if record.error is not None:
        yield "error.type", record.error
    yield "qstar.request_id", record.request_id
    if record.generation is not None:
        yield from _generation_attributes(record.route, record.generation)


def _generation_attributes(
    route: str, generation: GenerationRecord
) -> Iterator[tuple[str, Attribute]]:
    counts = generation.counts
    yield "gen_ai.operation.name", _OPERATIONS.get(route, "chat")
    yield "gen_ai.provider.name", "qstar"
    yield "gen_ai.request.model", generation.model
    yield "gen_ai.request.max_tokens", generation.max_tokens
    yield "gen_ai.response.model", generation.model
    yield "gen_ai.response.id", generation.response_id
    yield "gen_ai.response.finish_reasons", list(generation.finish_reasons)
    if generation.first_token_s is not None:
        yield "gen_ai.response.time_to_first_chunk", generation.first_token_s
    yield "gen_ai.usage.input_tokens", counts.num_prompt_tokens
    yield "gen_ai.usage.output_tokens", counts.num_completion_tokens
    yield "gen_ai.usage.cache_read.input_tokens", counts.num_cached_tokens
    yield "qstar.usage.thought_tokens", counts.num_thought_tokens
