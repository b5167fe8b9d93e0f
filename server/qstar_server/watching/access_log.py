"""One line of the log for each HTTP request: what it was and what came of it, never its texts."""

import logging

from qstar_server.watching.logging_setup import fields
from qstar_server.watching.request_record import GenerationRecord, RequestRecord

logger = logging.getLogger("qstar_server.access")


def log_request(record: RequestRecord) -> None:
    """Write the line of a request whose response has ended."""
    if not logger.isEnabledFor(logging.INFO):
        return
    generated = {} if record.generation is None else _generated(record.generation)
    extra = fields(duration_s=round(record.duration_s, 4), error=record.error, **generated)
    logger.info("%s %s %s", record.method, record.route, record.status, extra=extra)


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
