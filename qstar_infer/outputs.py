"""Outputs of the engine, as in vLLM, plus one thought for each visible token."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from qstar_infer.histogram import HistogramCounts
from qstar_infer.view.html import answer_html

FinishReason = Literal["stop", "length"]
"""`stop`: end of sequence, stop token or stop string; `length`: `max_tokens` or a full context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprob:
    """One token's log-probability under the model's own (mixed) distribution, in nats."""

    logprob: float
    decoded_token: str
    rank: int | None = None
    """1 for the most likely token of the vocabulary. None: not computed, for a generated token that
    is not one of the most likely that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyToken:
    """One of the most likely tokens at a place, before temperature, penalties and filters."""

    token: str
    """The text of this token alone; an incomplete character is U+FFFD."""
    token_id: int
    logprob: float
    """In nats; minus infinity for a delimiter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The token that the prediction without the thought gave."""

    token: str
    token_id: int
    is_fed: bool
    """Whether it was fed before the thought ended, so that the next thought began early."""
    is_kept: bool
    """Whether the thought decided the same token. True where there is no thought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedThought:
    """A thought that began after a wrong draft or a wrong guess; nothing of it is in the output."""

    token: str
    """The draft that it began after."""
    first: int
    last: int
    """The newest pass that worked on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How the wavefront found a token.

    Passes count those that worked on this completion, from 0, which computed the last token of the
    prompt. After a preemption, passes that compute the prompt again do not count.
    """

    first: int
    """The pass that fed the token before this one, where its thought begins. After a preemption,
    the newest one that did."""
    last: int
    """The pass that decided the token."""
    draft: Draft
    dropped: list[DroppedThought]
    """The thoughts dropped since the token before this one was verified. Those that a preemption
    or a lack of memory dropped are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """One visible token and the thought before it.

    A token without a thought has an empty thought and mixing weight 0: `num_thought_tokens` is 0,
    the rule `thinking` does not think there, or `think_threshold` skipped it.
    """

    token_id: int
    token: str
    """The text of this token alone; an incomplete character is U+FFFD."""
    thought: str
    thought_token_ids: list[int]
    """The sampled tokens, without the two delimiters."""
    mixing_weight: float
    """Share of the thought in the mixed logits (paper, section 4.3; may leave [0, 1])."""
    logprob: float
    """ln p(token) under the mixed distribution, before temperature, penalties and filters. The
    delimiters have probability 0, because they are never sampled."""
    base_logprob: float
    """The same without the thought. Equal to `logprob` if the mixing weight is 0."""
    top_logprobs: list[LikelyToken] | None = None
    """The most likely tokens with the thought, best first. None: not requested."""
    base_top_logprobs: list[LikelyToken] | None = None
    """The most likely tokens without the thought. None: not requested."""
    passes: Passes | None = None
    """None: not requested."""

    def as_entry(self) -> dict[str, Any]:
        """The fields as plain data; those that were not requested are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(slots=True, kw_only=True)
class CompletionOutput:
    """One completion: the whole from `LLM.generate`, a delta in a stream.

    A notebook shows its thoughts.
    """

    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    token_offsets: list[int] = field(default_factory=list)
    """Offset of each of `token_ids` in the whole completion's text, in characters; never
    decreasing. All tokens of one character have the offset of that character. A token whose text is
    cut off (a stop string, end of sequence) has the offset that its text would have."""
    thoughts: list[Thought] = field(default_factory=list)
    """One entry for each of `token_ids`; empty unless the request shows thoughts."""
    num_thought_tokens: int = 0
    """Number of thought tokens sampled for `token_ids`."""
    cumulative_logprob: float = 0.0
    """Sum of the log-probabilities of `token_ids`, in nats."""
    logprobs: list[dict[int, Logprob]] | None = None
    """For each of `token_ids`: the chosen token and the most likely ones. None: not requested."""
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    """The stop token id or stop string that ended the output; None for end of sequence."""

    def extend(self, delta: "CompletionOutput") -> None:
        """Append the next delta of the same completion, in place."""
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

    def _repr_html_(self) -> str | None:
        return answer_html([self.thoughts])


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimes:
    """When a request reached each stage, by `time.monotonic` of the engine's process."""

    queued_s: float
    scheduled_s: float | None = None
    """Start of the first step that worked on it; None if it needed none."""
    first_token_s: float | None = None
    """None until a token is visible."""
    newest_s: float
    """Time of this delta."""


@dataclass(slots=True, kw_only=True)
class RequestOutput:
    """The completions of one request: whole from `LLM.generate`, deltas from the engine.

    A notebook shows their thoughts.

    A delta has a `CompletionOutput` for each completion that changed, and none for the others.
    """

    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    prompt: str | None = None
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
    """One entry for each prompt token, None for the first. Only in the first delta. None: not
    requested."""
    num_prompt_thought_tokens: int = 0
    """Number of thought tokens sampled for `prompt_logprobs`."""
    num_cached_tokens: int = 0
    """Number of prompt tokens that the first completion found in the prefix cache. Only in the
    first delta."""
    finished: bool = False
    """True in the last delta, when every completion has a finish reason."""
    times: RequestTimes | None = field(default=None, compare=False)
    """Up to this delta. None: unknown."""

    def extend(self, delta: "RequestOutput") -> None:
        """Append the next delta of the same request, in place.

        `outputs` must contain every completion of the request, ordered by index.
        """
        for output in delta.outputs:
            self.outputs[output.index].extend(output)
        if delta.prompt_logprobs is not None:
            self.prompt_logprobs = delta.prompt_logprobs
        self.num_prompt_thought_tokens += delta.num_prompt_thought_tokens
        self.num_cached_tokens += delta.num_cached_tokens
        self.finished = delta.finished
        self.times = delta.times

    def _repr_html_(self) -> str | None:
        return answer_html([output.thoughts for output in self.outputs])


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counts since the engine started, and its current load."""

    steps: int = 0
    """Forward passes."""
    rows: int = 0
    """Query rows over all passes."""
    tokens: int = 0
    """Visible (verified) tokens."""
    thought_tokens: int = 0
    """Thought tokens of visible and of scored prompt tokens."""
    drafted: int = 0
    """Drafts that were fed before they were verified."""
    accepted: int = 0
    """Fed drafts that equalled their target."""
    rejected: int = 0
    """Fed drafts that did not equal their target."""
    preemptions: int = 0
    recomputed: int = 0
    """Tokens of the text that were computed again after a preemption."""
    prefix_cache_queries: int = 0
    """Tokens of new requests that were looked up in the prefix cache."""
    prefix_cache_hits: int = 0
    """How many of these were found, and so not computed."""
    num_running: int = 0
    num_waiting: int = 0
    num_free_blocks: int = 0
    """Blocks that no request holds, including those that keep text for the prefix cache."""
    num_cached_blocks: int = 0
    """Blocks that the prefix cache can share, free or held."""
    num_blocks: int = 0
    block_size: int = 0
    """Token slots of a block."""
    num_lanes: int = 0
    """Thoughts in flight."""
    step_age_s: float | None = None
    """Seconds that the current step has been running; None between two steps."""
    step_rows: HistogramCounts = HistogramCounts()
    """Rows of each step."""
    step_seconds: HistogramCounts = HistogramCounts()
    """Time of each step, with planning and recording."""
    mixing_weights: HistogramCounts = HistogramCounts()
    """Mixing weight of each visible token that had a thought."""
    passes_per_token: HistogramCounts = HistogramCounts()
    """Of each finished completion: passes from the end of its prompt on, divided by tokens."""
