"""Makes a saved run of an answer, so that it can be looked at and saved."""

import time
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.saved_run import Endpoint, SavedChoice, SavedRun
from qstar_infer.thinking_rule import ThinkingRule

_ALWAYS = {"max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
"""Written even if they have the value of `SamplingParams`, because a checkpoint or an endpoint may
have another default."""

NUM_ALTERNATIVES = 5


def with_alternatives(params: SamplingParams) -> SamplingParams:
    """The parameters for an answer that will be looked at: with the most likely tokens."""
    return replace(params, thought_top_logprobs=NUM_ALTERNATIVES)


def run_of(
    answer: CompletionOutput,
    params: SamplingParams,
    *,
    model: str,
    prompt: Mapping[str, Any],
    num_prompt_tokens: int,
    seconds: float,
) -> SavedRun:
    """The run of one answer, which ends now.

    Args:
        prompt: the field of the request that holds it: `prompt`, or `messages` of a chat.
        seconds: that the answer took.
    """
    endpoint: Endpoint = "chat" if "messages" in prompt else "completions"
    num_tokens = len(answer.token_ids)
    choice = SavedChoice(
        index=0,
        text=answer.text,
        finish_reason=answer.finish_reason,
        thoughts=list(answer.thoughts),
    )
    return SavedRun(
        created=int(time.time()),
        model=model,
        endpoint=endpoint,
        request={"model": model, **prompt, **request_fields(params), "show_thoughts": True},
        choices=[choice],
        usage={
            "prompt_tokens": num_prompt_tokens,
            "completion_tokens": num_tokens,
            "total_tokens": num_prompt_tokens + num_tokens,
            "completion_tokens_details": {"reasoning_tokens": answer.num_thought_tokens},
        },
        seconds=round(seconds, 3),
    )


def request_fields(params: SamplingParams) -> dict[str, Any]:
    """The fields of a request to the server that has these parameters."""
    found = {}
    for field in fields(params):
        value = getattr(params, field.name)
        default = None if field.default is MISSING else field.default
        if value is not None and (field.name in _ALWAYS or value != default):
            found[field.name] = value.to_json() if isinstance(value, ThinkingRule) else value
    return found
