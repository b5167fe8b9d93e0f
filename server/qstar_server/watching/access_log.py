"""One line of the log for each HTTP request: what it was and what came of it, never its texts."""

import logging

from qstar_server.watching.logging_setup import fields
from qstar_server.watching.request_record import GenerationRecord, RequestRecord

logger = logging.getLogger("qstar_server.access")

_PROBES = {"/health", "/metrics"}
"""Routes that orchestrators and Prometheus ask every few seconds."""


class AccessLog:
    """Writes the line of each request whose response has ended.

    A 200 to a GET of `/health` or `/metrics` has a line only if the answer before was another;
    the rest of them are at level debug.
    """

    def __init__(self) -> None:
        self._last_status: dict[str, int | None] = {}

    def write(self, record: RequestRecord) -> None:
        """Write the line, if the log has a place for it."""
        level = logging.DEBUG if self._says_nothing_new(record) else logging.INFO
        if not logger.isEnabledFor(level):
            return
        generated = {} if record.generation is None else _generated(record.generation)
        extra = fields(duration_s=round(record.duration_s, 4), error=record.error, **generated)
        logger.log(level, "%s %s %s", record.method, record.route, record.status, extra=extra)

    def _says_nothing_new(self, record: RequestRecord) -> bool:
        if record.method != "GET" or record.route not in _PROBES:
            return False
        last_status = self._last_status.get(record.route)
        self._last_status[record.route] = record.status
        return record.status == last_status == 200


def _generated(generation: GenerationRecord) -> dict[str, str | int | float | None]:
    first_token_s = generation.first_token_s
    counts = generation.counts
    return {
        "prompt_tokens": counts.num_prompt_tokens,
        "tokens": counts.num_completion_tokens,
        "thought_tokens": counts.num_thought_tokens,
        "cached_tokens": counts.num_cached_tokens,
        "ttft_s": None if first_token_s is None else round(first_token_s, 4),
        "finish": ",".join(dict.fromkeys(generation.finish_reasons)) or None,
        "response_id": generation.response_id,
    }
