"""Arguments of `responses.create` and `responses.stream`."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from qstar_client._request_body import SamplingParams

ResponseInput = str | Sequence[Mapping[str, object] | BaseModel]
"""A text, or a list of messages and other items, among them those of an earlier answer."""


class ResponseParams(SamplingParams, total=False):
    """Optional arguments of `responses.create` and `responses.stream`.

    Arguments that are absent or None are not sent, so that the server's defaults apply.
    """

    instructions: str | None
    """The system message."""
    max_output_tokens: int | None
    """Most tokens to produce, visible and thought tokens together."""
    top_logprobs: int | None
    include: Sequence[str] | None
    """Further data of the answer, such as `message.output_text.logprobs`."""
    include_reasoning: bool | None
    """Add an item with the joined thoughts to the output."""
    reasoning: Mapping[str, object] | None
    """`{"effort": "none"}` turns thinking off; other efforts choose the length of thoughts."""
    text: Mapping[str, object] | None
    """`{"format": {...}}`: the form of the output, for example a JSON schema."""
    tools: Sequence[Mapping[str, object]] | None
    tool_choice: str | Mapping[str, object] | None
    parallel_tool_calls: bool | None
    truncation: str | None
    metadata: Mapping[str, str] | None
    store: bool | None
    safety_identifier: str | None
    prompt_cache_key: str | None
