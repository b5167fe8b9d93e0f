"""What the server counts about requests. Plain numbers, changed on the event loop alone."""

from collections import Counter

from qstar_infer.histogram import Histogram

OTHER = "other"
"""Label of every value outside of a known set, so that no client can add labels."""
FINISH_REASONS = ("stop", "length", "abort", "error")
"""How a completion ends: as in the engine, or its client left, or an error ended it."""
REJECTION_REASONS = (
    *("queue_full", "too_many_requests", "server_is_overloaded", "slow_reader"),
    *("model_loading", "model_load_failed", "shutting_down", "engine_dead", OTHER),
)
"""Codes of the errors 429 and 503: the server refuses a request with which nothing is wrong."""

_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0),
)
_TOKENS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000),
)


class RequestCounts:
    """Counts since the server started.

    Attributes:
        http_requests: by handler, method and status.
        rejections: by reason, one of `REJECTION_REASONS`.
        finished: completions by finish reason, one of `FINISH_REASONS`.
        prompt_tokens: tokens of all prompts whose output has begun.
        request_prompt_tokens: tokens of each finished prompt.
        request_generation_tokens: visible tokens of each finished completion.
        time_to_first_token: of each prompt, from the arrival of its HTTP request.
        inter_token_latency: between a completion's tokens. Tokens that arrive together share the
            time since those before them.
        e2e_latency: of each finished prompt, from the arrival of its HTTP request.
        queue_time: from the engine's queue to the first step.
        prefill_time: from the first step to the first token.
        decode_time: from the first token to the last.
    """

    def __init__(self) -> None:
        self.http_requests: Counter[tuple[str, str, str]] = Counter()
        self.rejections = dict.fromkeys(REJECTION_REASONS, 0)
        self.finished = dict.fromkeys(FINISH_REASONS, 0)
        self.prompt_tokens = 0
        self.request_prompt_tokens = Histogram(_TOKENS)
        self.request_generation_tokens = Histogram(_TOKENS)
        self.time_to_first_token = Histogram(_SECONDS)
        self.inter_token_latency = Histogram(_SECONDS)
        self.e2e_latency = Histogram(_SECONDS)
        self.queue_time = Histogram(_SECONDS)
        self.prefill_time = Histogram(_SECONDS)
        self.decode_time = Histogram(_SECONDS)
