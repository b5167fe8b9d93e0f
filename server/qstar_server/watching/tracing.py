"""Traces of requests for OpenTelemetry, which is an extra: `pip install 'qstar[tracing]'`."""

from typing import TYPE_CHECKING

from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from qstar_server.watching.spans import SpanWriter


def create_span_writer(endpoint: str) -> "SpanWriter":
    """Sends a span for each request to an OTLP endpoint, over HTTP.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    try:
        from qstar_server.watching.spans import SpanWriter
    except ImportError as error:
        raise ConfigError(
            f"otlp_traces_endpoint is {endpoint!r}, but traces need OpenTelemetry, which is not "
            f"installed ({error}). Run: pip install 'qstar[tracing]'"
        ) from None
    return SpanWriter.to(endpoint)
