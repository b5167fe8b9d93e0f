"""Request fields that this server does not support.

A field that would change the output is an error; any other unknown field is logged and ignored.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from qstar_infer.errors import RequestError

logger = logging.getLogger(__name__)

# Field -> values that change nothing, in addition to null. Any other value would change the output,
# so ignoring it would return a wrong result.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    # token selection
    "logits_processors": ([],),
    "custom_logit_processor": (),
    "typical_p": (1,),
    "no_repeat_ngram_size": (0,),
    "dry_multiplier": (0,),
    "xtc_probability": (0,),
    "mirostat": (0,),
    # search
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "early_stopping": (False,),
    # structure
    "structural_tag": (),
    "json_schema": (),
    "regex": (),
    "ebnf": (),
    "grammar": ("",),
    # prompt
    "prompt_embeds": (),
    # form of the response
    "logprob_token_ids": (),
    "detokenize": (True,),
    # thought budgets for a whole text; ours is per thought
    "thinking_token_budget": (),
    "reasoning_budget": (),
    "reasoning_budget_tokens": (),
    "thinking_budget": (),
}
_UNSUPPORTED_PREFIX = "guided_"
_STRUCTURED = {
    *("guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("json_schema", "regex", "ebnf", "grammar"),
}
"""What other servers call fields of `structured_outputs`."""
_MAX_NAMES = 256
_MAX_NEW_NAMES = 8
_MIN_INTERVAL_S = 1.0
_MAX_NAME_CHARS = 64


class IgnoredFieldLog:
    """Logs the name of each ignored field once, as long as it is remembered.

    What a client sends cannot flood the log, nor fill the memory of names for good: a request adds
    few names, there is at most one line a second, and the oldest name is forgotten for a new one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds, of any origin.
        """
        self._clock = clock
        self._quiet_until = -math.inf
        self._seen: dict[str, None] = {}

    def note(self, extra_fields: Mapping[str, Any]) -> None:
        """Log some of the names that are new. Values are never logged."""
        now = self._clock()
        if now < self._quiet_until:
            return  # the next request with these names is soon enough
        names = (name[:_MAX_NAME_CHARS] for name in extra_fields if not _is_unsupported(name))
        new = list(islice((name for name in names if name not in self._seen), _MAX_NEW_NAMES))
        if not new:
            return
        self._quiet_until = now + _MIN_INTERVAL_S
        self._seen |= dict.fromkeys(new)
        while len(self._seen) > _MAX_NAMES:
            del self._seen[next(iter(self._seen))]
        logger.warning("ignoring unknown request fields: %s", ", ".join(map(repr, new)))


def check_supported(extra_fields: Mapping[str, Any]) -> None:
    """
    Raises:
        RequestError: a field would change the output and is not supported; `param` names it.
    """
    for name, value in extra_fields.items():
        if _is_unsupported(name) and value is not None and not _is_harmless(name, value):
            short = name[:_MAX_NAME_CHARS]
            instead = "send structured_outputs" if name in _STRUCTURED else "leave it out"
            raise RequestError(f"{short} is not supported by this server; {instead}", param=short)


def _is_unsupported(name: str) -> bool:
    return name in _UNSUPPORTED or name.startswith(_UNSUPPORTED_PREFIX)


def _is_harmless(name: str, value: Any) -> bool:
    # 0 == False and 1 == True in Python, but not in JSON.
    return any(
        value == harmless and isinstance(value, bool) == isinstance(harmless, bool)
        for harmless in _UNSUPPORTED.get(name, ())
    )
