"""Arguments of `chat.completions.create` and `chat.completions.stream`."""

from collections.abc import Mapping, Sequence

from qstar_client._chat.types import ChatCompletionMessage
from qstar_client._request_body import ChoicesParams

Message = Mapping[str, object] | ChatCompletionMessage
"""`{"role": ..., "content": ...}`, or a message of an earlier answer."""


class ChatCompletionParams(ChoicesParams, total=False):
    """Optional arguments of `chat.completions.create` and `chat.completions.stream`.

    Arguments that are absent or None are not sent, so that the server's defaults apply.
    """

    max_completion_tokens: int | None
    """Most tokens to produce, visible and thought tokens together."""
    logprobs: bool | None
    """Report the log-probability of each token."""
    top_logprobs: int | None
    """Report this many most likely tokens too; needs `logprobs`."""
    include_reasoning: bool | None
    """Return the joined thoughts as `message.reasoning` and `message.reasoning_content`."""
    tools: Sequence[Mapping[str, object]] | None
    tool_choice: str | Mapping[str, object] | None
    parallel_tool_calls: bool | None
    """False: at most one call in an answer."""
    add_generation_prompt: bool | None
    """Begin an answer behind the messages; default True, unless the last one is continued."""
    continue_final_message: bool | None
    """The model continues the last message instead of answering it."""
    metadata: Mapping[str, str] | None
    prompt_cache_key: str | None
    safety_identifier: str | None
