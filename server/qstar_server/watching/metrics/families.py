"""The metrics by name: from plain counts to the families of the Prometheus client.

Names and meanings are those of vLLM where it has the same metric, with the prefix `qstar:`.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from qstar_infer.histogram import HistogramCounts
from qstar_infer.outputs import EngineStats
from qstar_server.watching.metrics.request_counts import RequestCounts

_PREFIX = "qstar:"


class ModelFamilies:
    """Creates families whose samples have the label `model_name`."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def gauge(self, name: str, help_text: str, value: float) -> Metric:
        """A number that goes up and down."""
        family = GaugeMetricFamily(_PREFIX + name, help_text, labels=["model_name"])
        family.add_metric([self._model_name], value)
        return family

    def info(self, name: str, help_text: str, facts: Mapping[str, int]) -> Metric:
        """Facts that do not change, as labels of a gauge that is 1."""
        family = GaugeMetricFamily(_PREFIX + name, help_text, labels=["model_name", *facts])
        family.add_metric([self._model_name, *map(str, facts.values())], 1)
        return family

    def counter(self, name: str, help_text: str, value: float) -> Metric:
        """A number that only grows; its sample has the suffix `_total`."""
        family = CounterMetricFamily(_PREFIX + name, help_text, labels=["model_name"])
        family.add_metric([self._model_name], value)
        return family

    def counters(
        self, name: str, help_text: str, *, label: str, values: Mapping[str, int]
    ) -> Metric:
        """A counter for each value of a label."""
        family = CounterMetricFamily(_PREFIX + name, help_text, labels=["model_name", label])
        for value, count in values.items():
            family.add_metric([self._model_name, value], count)
        return family

    def histogram(self, name: str, help_text: str, counts: HistogramCounts) -> Metric:
        """The buckets of a histogram, cumulative as Prometheus wants them."""
        family = HistogramMetricFamily(_PREFIX + name, help_text, labels=["model_name"])
        so_far = 0
        buckets = []
        bounds = [*map(str, map(float, counts.bounds)), "+Inf"]
        for bound, count in zip(bounds, counts.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric([self._model_name], buckets, counts.total)
        return family


def http_family(counts: RequestCounts) -> Metric:
    """Requests by handler, method and status, known before a model is loaded."""
    family = CounterMetricFamily(
        "http_requests",
        "HTTP requests answered. handler: the route, or other.",
        labels=["handler", "method", "status"],
    )
    for labels, count in list(counts.http_requests.items()):
        family.add_metric(labels, count)
    return family


def engine_families(stats: EngineStats, model: ModelFamilies) -> Iterator[Metric]:
    """What the engine counts."""
    num_used = stats.num_blocks - stats.num_free_blocks
    usage = num_used / stats.num_blocks if stats.num_blocks else 0.0
    yield model.gauge("num_requests_running", "Sequences in the batch.", stats.num_running)
    yield model.gauge("num_requests_waiting", "Sequences in the queue.", stats.num_waiting)
    yield model.gauge("kv_cache_usage_perc", "Share of the key/value blocks in use, 0 to 1.", usage)
    yield model.info(
        "cache_config_info",
        "Blocks of keys and values: tokens in each, and how many there are.",
        {"block_size": stats.block_size, "num_gpu_blocks": stats.num_blocks},
    )
    yield model.counter(
        "prefix_cache_queries",
        "Prompt tokens looked up in the prefix cache.",
        stats.prefix_cache_queries,
    )
    yield model.counter(
        "prefix_cache_hits", "Prompt tokens found in the prefix cache.", stats.prefix_cache_hits
    )
    yield model.counter("generation_tokens", "Visible tokens generated.", stats.tokens)
    yield model.counter("num_preemptions", "Sequences sent back to the queue.", stats.preemptions)
    yield model.counter("thought_tokens", "Thought tokens sampled.", stats.thought_tokens)
    yield model.counter("drafts_accepted", "Drafts that a thought confirmed.", stats.accepted)
    yield model.counter("drafts_rejected", "Drafts that a thought overruled.", stats.rejected)
    yield model.gauge("num_lanes", "Thoughts in flight.", stats.num_lanes)
    yield model.histogram("step_rows", "Rows of a forward pass.", stats.step_rows)
    yield model.histogram("step_time_seconds", "Time of a step.", stats.step_seconds)
    yield model.histogram(
        "mixing_weight", "Share of the thought in a token's logits.", stats.mixing_weights
    )
    yield model.histogram(
        "request_passes_per_token",
        "Forward passes of a completion, divided by its visible tokens.",
        stats.passes_per_token,
    )


def request_families(counts: RequestCounts, model: ModelFamilies) -> Iterator[Metric]:
    """What the server counts about generating requests."""
    yield model.counter("prompt_tokens", "Prompt tokens processed.", counts.prompt_tokens)
    yield model.counters(
        "request_success",
        "Completions that have ended.",
        label="finished_reason",
        values=counts.finished,
    )
    yield model.counters(
        "admission_rejections",
        "Generating requests refused with 429 or 503.",
        label="reason",
        values=counts.rejections,
    )
    for name, help_text, histogram in (
        ("request_prompt_tokens", "Tokens of a prompt.", counts.request_prompt_tokens),
        (
            "request_generation_tokens",
            "Visible tokens of a completion.",
            counts.request_generation_tokens,
        ),
        (
            "time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            counts.time_to_first_token,
        ),
        ("inter_token_latency_seconds", "Between two tokens.", counts.inter_token_latency),
        (
            "e2e_request_latency_seconds",
            "From a request's arrival to its last token.",
            counts.e2e_latency,
        ),
        ("request_queue_time_seconds", "From the queue to the first step.", counts.queue_time),
        (
            "request_prefill_time_seconds",
            "From the first step to the first token.",
            counts.prefill_time,
        ),
        (
            "request_decode_time_seconds",
            "From the first token to the last.",
            counts.decode_time,
        ),
    ):
        yield model.histogram(name, help_text, histogram.read())
