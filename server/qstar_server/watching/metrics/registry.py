"""The registry of one application's metrics."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
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

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, about a millisecond's work.

        Args:
            accept: the header of the request.

        Returns:
            The text and its content type: OpenMetrics where it is asked for.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
