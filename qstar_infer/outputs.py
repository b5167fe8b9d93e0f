"""What the engine gives back: vLLM's shape, with one thought for each visible token."""

from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]
"""`stop`: end of sequence or a stop string; `length`: max_tokens or the context end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprob:
    """One token's log-probability under the model's own (mixed) distribution, in nats."""

    logprob: float
    decoded_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """One visible token and the thought that came before it.

    A token that was not thought about (`num_thought_tokens` 0, or skipped by `think_threshold`)
    has an empty thought and mixing weight 0.
    """

    token_id: int
    token: str
    """The visible token's text on its own; half a character shows as U+FFFD."""
    thought: str
    thought_token_ids: list[int]
    """The sampled tokens; the two delimiters are not among them."""
    mixing_weight: float
    """Share of the thought in the mixed logits (paper, section 4.3; may leave [0, 1])."""
    logprob: float
    """ln p(token) under the mixed distribution, before temperature, penalties and filters. The
    delimiters have no share in it, since they can never be the token."""
    base_logprob: float
    """The same without the thought: equal to `logprob` where the mixing weight is 0."""


@dataclass(slots=True, kw_only=True)
class CompletionOutput:
    """One completion: whole when `LLM.generate` returns it, only what is new in a stream."""

    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    token_offsets: list[int] = field(default_factory=list)
    """Where each of `token_ids` begins, in characters of the whole completion's text; never
    decreasing. All tokens of one character begin where it begins. A token whose text was cut off
    (a stop string, end of sequence) begins where its text would have."""
    thoughts: list[Thought] = field(default_factory=list)
    """One entry for each of `token_ids`; empty unless the request shows thoughts."""
    num_thought_tokens: int = 0
    """Thought tokens sampled for `token_ids`."""
    cumulative_logprob: float = 0.0
    """Sum of the log-probabilities of `token_ids`, in nats."""
    logprobs: list[dict[int, Logprob]] | None = None
    """For each of `token_ids`: the chosen token and the most likely ones. None: not asked for."""
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    """The stop token id or stop string that ended the output; None for end of sequence."""

    def extend(self, delta: "CompletionOutput") -> None:
        """Append a later piece of the same completion, in place."""
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.token_offsets += delta.token_offsets
        self.thoughts += delta.thoughts
        self.num_thought_tokens += delta.num_thought_tokens
        self.cumulative_logprob += delta.cumulative_logprob
        if delta.logprobs is not None:
            self.logprobs = [] if self.logprobs is None else self.logprobs
            self.logprobs += delta.logprobs
        self.finish_reason = delta.finish_reason
        self.stop_reason = delta.stop_reason


@dataclass(slots=True, kw_only=True)
class RequestOutput:
    """The completions of one request: whole from `LLM.generate`, deltas from the engine.

    A delta holds at most one `CompletionOutput` for each index that has news.
    """

    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    prompt: str | None = None
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
    """One entry for each prompt token, the first None; in the first delta. None: not asked for."""
    num_prompt_thought_tokens: int = 0
    """Thought tokens spent on `prompt_logprobs`."""
    finished: bool = False
    """True in the last delta: every completion has its finish reason."""

    def extend(self, delta: "RequestOutput") -> None:
        """Append a later delta of the same request, in place.

        `outputs` must hold every completion of the request, in order of their indices.
        """
        for output in delta.outputs:
            self.outputs[output.index].extend(output)
        if delta.prompt_logprobs is not None:
            self.prompt_logprobs = delta.prompt_logprobs
        self.num_prompt_thought_tokens += delta.num_prompt_thought_tokens
        self.finished = delta.finished


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counts since the engine started, and its present load."""

    steps: int = 0
    """Forward passes."""
    rows: int = 0
    """Query rows over all passes."""
    tokens: int = 0
    """Visible (verified) tokens."""
    thought_tokens: int = 0
    """Sampled thought tokens that belong to visible tokens."""
    drafted: int = 0
    """Drafts that were fed before they were verified."""
    accepted: int = 0
    """Drafts that equalled their target."""
    rejected: int = 0
    """Drafts that did not."""
    preemptions: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_free_blocks: int = 0
    num_blocks: int = 0
