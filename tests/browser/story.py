"""An engine for the tests of the page: it says what a test wrote, word by word, with thoughts."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from qstar_infer.engine.protocol import AdmittedRequest
from qstar_infer.outputs import (
    CompletionOutput,
    Draft,
    DroppedThought,
    FinishReason,
    LikelyToken,
    Passes,
    Thought,
)
from tests.server.fake_engine import FakeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One visible token and its thought."""

    text: str
    thought: str = ""
    mixing_weight: float = 0.0
    logprob: float = -0.5
    base_logprob: float = -0.5
    others: tuple[tuple[str, float], ...] = ()
    """Other likely tokens with the thought, and their log-probabilities."""
    base_others: tuple[tuple[str, float], ...] = ()
    """The same without the thought."""
    is_overruled: bool = False
    """Whether the draft, the likeliest token without the thought, was wrong, and so a thought
    behind it was dropped."""

    @property
    def base_likeliest(self) -> list[LikelyToken]:
        """The most likely tokens without the thought, the best first."""
        return likeliest(self.text, self.base_logprob, self.base_others)


def token_id_of(text: str) -> int:
    """The same id for the same text, below 50,000."""
    return zlib.crc32(text.encode()) % 50_000


class StoryEngine(FakeEngine):
    """Answers every request with the same story.

    Attributes:
        story: the words of every completion, which then ends in "stop".
        pause_after: number of words after which an answer waits; None is no pause.
    """

    def __init__(self, story: Sequence[Word]) -> None:
        super().__init__(max_model_len=8192)
        self.story = list(story)
        self.pause_after: int | None = None
        self.complete = self._tell

    def resume(self) -> None:
        """Let the answer that waits go on, to its end."""
        self.pause_after = None
        self.is_hung = False

    def _tell(self, admitted: AdmittedRequest, index: int) -> "Telling":
        return Telling(self, admitted, index)


class Telling:
    """One completion in progress: a word in each step."""

    def __init__(self, engine: StoryEngine, admitted: AdmittedRequest, index: int) -> None:
        self._engine = engine
        self._admitted = admitted
        self._index = index
        self._words = engine.story[: admitted.max_tokens]
        self._is_whole = len(self._words) == len(engine.story)
        self._num_told = 0
        self._num_characters = 0
        self._next_pass = 0
        self.is_finished = False

    def step(self) -> CompletionOutput:
        """The next word, with its thought if the request shows thoughts."""
        word = self._words[self._num_told]
        delta = CompletionOutput(
            index=self._index,
            text=word.text,
            token_ids=[token_id_of(word.text)],
            token_offsets=[self._num_characters],
            thoughts=[self._thought(word)] if self._admitted.request.show_thoughts else [],
            num_thought_tokens=self._length_of(word),
            cumulative_logprob=word.logprob,
        )
        self._num_told += 1
        self._num_characters += len(word.text)
        if self._num_told == len(self._words):
            reason: FinishReason = "stop" if self._is_whole else "length"
            delta.finish_reason = reason
            self.is_finished = True
        if self._num_told == self._engine.pause_after:
            self._engine.is_hung = True
        return delta

    def _length_of(self, word: Word) -> int:
        return self._admitted.num_thought_tokens if word.thought else 0

    def _thought(self, word: Word) -> Thought:
        length = self._length_of(word)
        thinks = length > 0
        params = self._admitted.request.params
        k = params.thought_top_logprobs
        logprob = word.logprob if thinks else word.base_logprob
        return Thought(
            token_id=token_id_of(word.text),
            token=word.text,
            thought=word.thought if thinks else "",
            thought_token_ids=[token_id_of(word.thought) + number for number in range(length)],
            mixing_weight=word.mixing_weight if thinks else 0.0,
            logprob=logprob,
            base_logprob=word.base_logprob,
            top_logprobs=None if k is None else likeliest(word.text, logprob, word.others)[:k],
            base_top_logprobs=None if k is None else word.base_likeliest[:k],
            passes=self._passes(word, length) if params.show_passes else None,
        )

    def _passes(self, word: Word, length: int) -> Passes:
        """A thought of n tokens takes n + 1 passes; the next one begins a pass later, or after it
        where the draft was wrong."""
        first = self._next_pass
        last = first + length
        is_overruled = word.is_overruled and length > 0  # without a thought nothing overrules
        self._next_pass = last + 1 if is_overruled else first + 1
        draft = word.base_likeliest[0].token if is_overruled else word.text
        return Passes(
            first=first,
            last=last,
            draft=Draft(
                token=draft,
                token_id=token_id_of(draft),
                is_fed=length > 0,
                is_kept=not is_overruled,
            ),
            dropped=[DroppedThought(token=draft, first=first + 1, last=last)]
            if is_overruled
            else [],
        )


def likeliest(text: str, logprob: float, others: Sequence[tuple[str, float]]) -> list[LikelyToken]:
    """A token among others, the most likely first."""
    ordered = sorted([(text, logprob), *others], key=lambda each: -each[1])
    return [
        LikelyToken(token=each, token_id=token_id_of(each), logprob=each_logprob)
        for each, each_logprob in ordered
    ]
