"""Request fields this server does not have: refused where they would change the answer."""

import logging
from collections.abc import Mapping
from typing import Any

from qstar_infer.errors import RequestError

logger = logging.getLogger(__name__)

# Field -> values that ask for nothing, beside null. Any other value of these fields would change
# what the client gets, and leaving it out in silence would hand back a wrong answer.
_REFUSED: dict[str, tuple[Any, ...]] = {
    # choice of tokens
    "allowed_token_ids": ([],),
    "bad_words": ([],),
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
    "response_format": ({"type": "text"},),
    "structured_outputs": ({},),
    "structural_tag": (),
    "json_schema": (),
    "regex": (),
    "ebnf": (),
    "grammar": ("",),
    # prompt
    "truncate_prompt_tokens": (),
    "prompt_embeds": (),
    # form of the answer
    "prompt_logprobs": (),
    "logprob_token_ids": (),
    "return_tokens_as_token_ids": (False,),
    "detokenize": (True,),
    # order of service
    "priority": (0,),
    # thought budgets in tokens a text; ours is tokens a thought
    "thinking_token_budget": (),
    "reasoning_budget": (),
    "reasoning_budget_tokens": (),
    "thinking_budget": (),
}
_REFUSED_PREFIX = "guided_"
_MAX_NAMES = 256
_MAX_NAME_CHARS = 64


class UnknownFields:
    """Logs each ignored field name once; remembers a bounded number of them."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def note(self, extras: Mapping[str, Any]) -> None:
        """Log the names not seen before. Values are never logged."""
        for name in extras:
            short = name[:_MAX_NAME_CHARS]
            if _is_refused(name) or short in self._seen or len(self._seen) >= _MAX_NAMES:
                continue
            self._seen.add(short)
            logger.warning("ignoring unknown request field %r", short)


def refuse_unsupported(extras: Mapping[str, Any]) -> None:
    """Refuse fields that would change the answer and cannot be honoured.

    Raises:
        RequestError: `param` names the field.
    """
    for name, value in extras.items():
        if _is_refused(name) and value is not None and not _asks_for_nothing(name, value):
            short = name[:_MAX_NAME_CHARS]
            raise RequestError(
                f"{short} is not supported by this server; leave it out", param=short
            )


def _is_refused(name: str) -> bool:
    """Whether the field is one of those that are refused, not ignored."""
    return name in _REFUSED or name.startswith(_REFUSED_PREFIX)


def _asks_for_nothing(name: str, value: Any) -> bool:
    # 0 == False and 1 == True in Python, but not in JSON.
    return any(
        value == harmless and isinstance(value, bool) == isinstance(harmless, bool)
        for harmless in _REFUSED.get(name, ())
    )
