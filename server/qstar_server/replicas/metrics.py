"""The metrics of all replicas as one text, each sample with the label `replica`."""

import logging
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)


class MergedMetrics(Collector):
    """The families of several servers, read from their texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """
        Args:
            texts: by the value of the label `replica`, in the text format of Prometheus.
        """
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """Each family once, with the samples of all servers whose texts can be read."""
        families: dict[str, Metric] = {}
        for replica_id, text in self._texts.items():
            for family in _parsed(text, replica_id):
                empty = Metric(family.name, family.documentation, family.type)
                whole = families.setdefault(family.name, empty)
                for sample in family.samples:
                    labels = {**sample.labels, "replica": replica_id}
                    whole.add_sample(sample.name, labels, sample.value)
        yield from families.values()


def _parsed(text: str, replica_id: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except (ValueError, LookupError) as error:
        logger.warning("the metrics of replica %s cannot be read: %s", replica_id, error)
        return []


def merged_exposition(texts: Mapping[str, str]) -> bytes:
    """One text for those of several servers, in the same format.

    Args:
        texts: see `MergedMetrics`.
    """
    registry = CollectorRegistry()
    registry.register(MergedMetrics(texts))
    return generate_latest(registry)
