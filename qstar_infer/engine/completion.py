"""From verified tokens to what a client sees: text, thoughts, log-probabilities, the end."""

from functools import partial

from qstar_infer.detokenizer import IncrementalDetokenizer
from qstar_infer.engine.sequence import Choice, Lane, Sequence
from qstar_infer.engine.stop_strings import StopStrings
from qstar_infer.engine.token_text import TokenText
from qstar_infer.outputs import CompletionOutput, FinishReason, Logprob, Thought


class Completion:
    """Turns one sequence's verified tokens into deltas."""

    def __init__(self, seq: Sequence, token_text: TokenText) -> None:
        params = seq.params
        self.seq = seq
        self._token_text = token_text
        self._detokenizer = IncrementalDetokenizer(
            partial(token_text.decode, skip_special_tokens=params.skip_special_tokens),
            seq.token_ids[: seq.num_prompt_tokens],
        )
        self._stop_strings = StopStrings(params.stop, is_kept=params.include_stop_str_in_output)
        self._delta = self._new_delta()

    def add(self, lane: Lane) -> bool:
        """Take a verified token.

        Returns:
            True if the output ends with it.
        """
        assert lane.choice is not None
        choice = lane.choice
        delta = self._delta
        delta.token_ids.append(choice.token_id)
        delta.thoughts.append(self._thought(lane, choice))
        if delta.logprobs is not None:
            delta.logprobs.append(logprob_entry(choice, self._token_text))

        if choice.token_id in self.seq.end_token_ids:
            self._end_by_token(choice.token_id)
            return True
        may_stop = self.seq.num_output_tokens > self.seq.params.min_tokens
        text, stop = self._stop_strings.push(
            self._detokenizer.push(choice.token_id), may_stop=may_stop
        )
        delta.text += text
        if stop is not None:
            self._end("stop", stop)
        elif self.seq.num_output_tokens >= self.seq.max_tokens:
            self.end_by_length()
        return delta.finish_reason is not None

    def end_by_length(self) -> None:
        """The output ends because it may not grow."""
        text, stop = self._stop_strings.push(self._detokenizer.flush())
        self._delta.text += text
        if stop is not None:
            self._end("stop", stop)
            return
        self._delta.text += self._stop_strings.flush()
        self._end("length", None)

    def take_delta(self) -> CompletionOutput | None:
        """What is new since the last call; None if nothing is."""
        delta = self._delta
        if not delta.token_ids and delta.finish_reason is None:
            return None
        self._delta = self._new_delta()
        return delta

    def _end_by_token(self, token_id: int) -> None:
        """End of sequence, or a stop token: its text is not part of the output unless asked for."""
        is_stop_token = token_id in self.seq.params.stop_token_ids
        is_shown = self.seq.params.include_stop_str_in_output or not (
            self.seq.params.skip_special_tokens or is_stop_token
        )
        piece = self._detokenizer.push(token_id) if is_shown else ""
        text, stop = self._stop_strings.push(piece + self._detokenizer.flush())
        self._delta.text += text
        if stop is None:
            self._delta.text += self._stop_strings.flush()
        self._end("stop", token_id if is_stop_token else None)

    def _end(self, finish_reason: FinishReason, stop_reason: int | str | None) -> None:
        self._delta.finish_reason = finish_reason
        self._delta.stop_reason = stop_reason

    def _new_delta(self) -> CompletionOutput:
        wants_logprobs = self.seq.params.logprobs is not None
        return CompletionOutput(index=self.seq.index, logprobs=[] if wants_logprobs else None)

    def _thought(self, lane: Lane, choice: Choice) -> Thought:
        return Thought(
            token_id=choice.token_id,
            token=self._token_text.of_token(choice.token_id),
            thought=self._token_text.of_piece(lane.thought),
            thought_token_ids=list(lane.thought),
            mixing_weight=choice.mixing_weight,
            logprob=choice.logprob,
            base_logprob=choice.base_logprob,
        )


def logprob_entry(choice: Choice, token_text: TokenText) -> dict[int, Logprob]:
    """The chosen token and the likeliest ones, the chosen one first."""
    ranked = {choice.token_id: choice.logprob}
    for token_id, logprob in choice.top_logprobs:
        ranked.setdefault(token_id, logprob)
    return {
        token_id: Logprob(logprob=logprob, decoded_token=token_text.of_token(token_id))
        for token_id, logprob in ranked.items()
    }
