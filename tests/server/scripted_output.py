"""One completion that follows a script: what the fake engine says, token by token."""

from collections.abc import Sequence

from qstar_infer.engine.protocol import AdmittedRequest
from qstar_infer.outputs import (
    CompletionOutput,
    Draft,
    DroppedThought,
    FinishReason,
    LikelyToken,
    Logprob,
    Passes,
    Thought,
)
from qstar_infer.text.utf8 import Utf8Stream
from tests.server.byte_tokens import bytes_of, token_text

THOUGHT_TEXT = "zq"
"""What every thought says; appears in no script, so that a leak is easy to find."""


def logprob_of(token_id: int, index: int) -> float:
    """A log-probability that a test can compute; later completions are more likely."""
    return -(token_id % 7 + 1.3) / (index + 1)


def logprob_entry(token_id: int, index: int, k: int) -> dict[int, Logprob]:
    """The token and k others, of which the third is impossible."""
    logprobs = {token_id: logprob_of(token_id, index)}
    for number in range(k):
        other = (token_id + number + 1) % 256
        logprobs[other] = float("-inf") if number == 2 else -0.25 * (number + 1)
    return {
        each: Logprob(logprob=logprob, decoded_token=token_text(each))
        for each, logprob in logprobs.items()
    }


def top_logprobs(token_id: int, index: int, k: int) -> list[LikelyToken]:
    """The `k` most likely of the token and at least three others."""
    entry = logprob_entry(token_id, index, max(3, k - 1))
    ranked = sorted(entry.items(), key=lambda item: -item[1].logprob)[:k]
    return [
        LikelyToken(token=each.decoded_token, token_id=other, logprob=each.logprob)
        for other, each in ranked
    ]


def passes_of(token_id: int, number: int, length: int) -> Passes:
    """Token after token, without overlap; of each second one the draft was wrong."""
    first = number * (length + 1)
    is_kept = number % 2 == 0
    draft_id = token_id if is_kept else ord("x")
    behind = DroppedThought(token="x", first=first + 1, last=first + length)
    return Passes(
        first=first,
        last=first + length,
        draft=Draft(token=token_text(draft_id), token_id=draft_id, is_fed=True, is_kept=is_kept),
        dropped=[] if is_kept else [behind],
    )


class ScriptedOutput:
    """Repeats a script until an end-of-sequence token or `max_tokens`. Knows no stop strings."""

    def __init__(self, admitted: AdmittedRequest, index: int, script: Sequence[int]) -> None:
        self._admitted = admitted
        self._index = index
        self._script = script
        self._characters = Utf8Stream("replace")
        self._last_id = admitted.request.prompt_token_ids[-1]
        self._num_tokens = 0
        self._num_characters = 0
        self.is_finished = False

    def step(self) -> CompletionOutput:
        """The next delta: one token, or the end where no token is asked for."""
        if self._admitted.max_tokens == 0:
            return self._finish("length", CompletionOutput(index=self._index))
        token_id = self._script[self._num_tokens % len(self._script)]
        self._num_tokens += 1
        piece = self._characters.push(bytes_of([token_id]))
        delta = self._delta(token_id, offset=self._num_characters + piece.begin)
        self._last_id = token_id
        is_eos = token_id in self._admitted.eos_token_ids
        is_last = is_eos or self._num_tokens == self._admitted.max_tokens
        delta.text = piece.text + (self._characters.flush() if is_last else "")
        self._num_characters += len(delta.text)
        return self._finish("stop" if is_eos else "length", delta) if is_last else delta

    def _finish(self, reason: FinishReason, delta: CompletionOutput) -> CompletionOutput:
        delta.finish_reason = reason
        self.is_finished = True
        return delta

    def _delta(self, token_id: int, *, offset: int) -> CompletionOutput:
        request = self._admitted.request
        k = request.params.logprobs
        return CompletionOutput(
            index=self._index,
            token_ids=[token_id],
            token_offsets=[offset],
            thoughts=[self._thought(token_id)] if request.show_thoughts else [],
            num_thought_tokens=self._thought_length(),
            cumulative_logprob=logprob_of(token_id, self._index),
            logprobs=None if k is None else [logprob_entry(token_id, self._index, k)],
        )

    def _thought_length(self) -> int:
        is_thinking = self._admitted.places.may_think_at(self._last_id)
        return self._admitted.num_thought_tokens if is_thinking else 0

    def _thought(self, token_id: int) -> Thought:
        length = self._thought_length()
        thought = (THOUGHT_TEXT * length)[:length]
        params = self._admitted.request.params
        k = params.thought_top_logprobs
        return Thought(
            token_id=token_id,
            token=token_text(token_id),
            thought=thought,
            thought_token_ids=list(thought.encode()),
            mixing_weight=0.5 if length else 0.0,
            logprob=logprob_of(token_id, self._index),
            base_logprob=logprob_of(token_id, self._index) - 0.5,
            top_logprobs=None if k is None else top_logprobs(token_id, self._index, k),
            base_top_logprobs=None if k is None else top_logprobs(token_id + 1, self._index, k),
            passes=(
                passes_of(token_id, self._num_tokens - 1, length) if params.show_passes else None
            ),
        )
