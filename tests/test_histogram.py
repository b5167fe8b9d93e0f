"""Histograms, against those of the Prometheus client."""

import random

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as Reference

from qstar_infer.histogram import Histogram, HistogramCounts

BOUNDS = (0.0, 0.5, 2.0, 10.0)


def cumulative(counts: HistogramCounts) -> list[float]:
    return [float(sum(counts.counts[: end + 1])) for end in range(len(counts.counts))]


def test_buckets_hold_what_those_of_prometheus_hold() -> None:
    ours, reference = Histogram(BOUNDS), Reference("x", "x", buckets=BOUNDS, registry=None)
    rng = random.Random(0)
    for value in [*BOUNDS, *(rng.uniform(-3, 20) for _ in range(500))]:
        ours.add(value)
        reference.observe(value)
    registry = CollectorRegistry()
    registry.register(reference)
    (family,) = registry.collect()
    expected = [sample.value for sample in family.samples if sample.name == "x_bucket"]
    total = next(sample.value for sample in family.samples if sample.name == "x_sum")
    read = ours.read()
    assert cumulative(read) == expected
    assert read.num_values == expected[-1]
    assert read.total == pytest.approx(total)


def test_a_value_can_be_added_several_times() -> None:
    one, many = Histogram(BOUNDS), Histogram(BOUNDS)
    many.add(0.25, times=3)
    for _ in range(3):
        one.add(0.25)
    assert one.read() == many.read()


def test_what_was_read_does_not_change() -> None:
    histogram = Histogram(BOUNDS)
    read = histogram.read()
    histogram.add(1)
    assert read == Histogram(BOUNDS).read() != histogram.read()
