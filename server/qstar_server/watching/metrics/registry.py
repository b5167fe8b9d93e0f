"""The registry of one application's metrics."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from qstar_server.process.engine_slot import EngineSlot
from qstar_server.watching.metrics.families import (
    ModelFamilies,
    engine_families,
    http_family,
    request_families,
)
from qstar_server.watching.metrics.request_counts import RequestCounts

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class AppCollector(Collector):
    """Reads the counts of an application and of its engine when it is asked."""

    def __init__(self, slot: EngineSlot, counts: RequestCounts) -> None:
        self._slot = slot
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The families; those of the model once it is loaded."""
        yield http_family(self._counts)
        engine = self._slot.engine
        if engine is not None:
            model = ModelFamilies(engine.model.name)
            yield from request_families(self._counts, model)
            yield from engine_families(engine.stats(), model)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self, slot: EngineSlot, counts: RequestCounts) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(AppCollector(slot, counts))
        ProcessCollector(registry=self._registry)

    def exposition(self) -> tuple[bytes, str]:
        """The metrics as text, about a millisecond's work.

        Always in Prometheus' text format, which every scraper reads. In OpenMetrics the client
        library (0.26) writes `qstar_` instead of `qstar:` for scrapers that do not know UTF-8
        names, such as Prometheus 2.

        Returns:
            The text and its content type.
        """
        return generate_latest(self._registry), _TEXT_FORMAT
