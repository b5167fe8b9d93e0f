"""Turns verified tokens into output: text, offsets, thoughts, log-probabilities."""

from qstar_infer.engine.read_thought import read_thought
from qstar_infer.outputs import CompletionOutput, FinishReason, Logprob
from qstar_infer.step import SampledToken
from qstar_infer.text.stop_strings import StopStrings
from qstar_infer.text.token_text import TokenText
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.wavefront import Verified


class OutputProcessor:
    """Turns one sequence's verified tokens into deltas."""

    def __init__(self, seq: Sequence, token_text: TokenText, *, show_thoughts: bool) -> None:
        params = seq.params
        self.seq = seq
        self._token_text = token_text
        self._show_thoughts = show_thoughts
        self._detokenizer = token_text.detokenizer(
            seq.wavefront.token_ids, skip_special_tokens=params.skip_special_tokens
        )
        self._num_characters = 0
        """Length of the text so far, including stop strings that are cut off."""
        self._newest_offset = 0
        self._num_counted = 0
        """Visible and thought tokens so far."""
        self._stop_strings = StopStrings(params.stop, is_kept=params.include_stop_str_in_output)
        self._delta = self._new_delta()

    def add(self, verified: Verified) -> bool:
        """Add a verified token.

        Returns:
            True if the output ends with it, or before it by `max_completion_tokens`.
        """
        delta, lane, token = self._delta, verified.lane, verified.decision
        self._num_counted += 1 + len(lane.thought)
        most = self.seq.params.max_completion_tokens
        if most is not None and self._num_counted > most:
            self.end_by_length()
            return True
        delta.token_ids.append(token.token_id)
        delta.num_thought_tokens += len(lane.thought)
        delta.cumulative_logprob += token.logprob
        if self._show_thoughts:
            delta.thoughts.append(read_thought(verified, self.seq.params, self._token_text))
        if delta.logprobs is not None:
            num_top = self.seq.params.logprobs
            delta.logprobs.append(logprob_entry(token, self._token_text, num_top=num_top))

        if token.token_id in self.seq.end_token_ids:
            self._end_by_token(token.token_id)
            return True
        may_stop = self.seq.num_output_tokens > self.seq.params.min_tokens
        text, stop = self._stop_strings.push(self._piece(token.token_id), may_stop=may_stop)
        delta.text += text
        if stop is not None:
            self._end("stop", stop)
        elif self._is_complete():
            self._end_whole("stop")
        elif self.seq.num_output_tokens >= self.seq.max_tokens or self._num_counted == most:
            self.end_by_length()
        return delta.finish_reason is not None

    def end_by_length(self) -> None:
        """End the output because it has reached its length limit."""
        self._end_whole("length")

    def _end_whole(self, reason: FinishReason) -> None:
        """End the output behind its newest token, with all text that was held back."""
        text, stop = self._stop_strings.push(self._detokenizer.flush())
        self._delta.text += text
        if stop is not None:
            self._end("stop", stop)
            return
        self._delta.text += self._stop_strings.flush()
        self._end(reason, None)

    def _is_complete(self) -> bool:
        """Whether the output has the form that was asked for, and nothing can follow it."""
        seq = self.seq
        return seq.grammar is not None and seq.grammar.is_complete(
            seq.output_until(seq.wavefront.num_verified)
        )

    def take_delta(self) -> CompletionOutput | None:
        """The output since the last call; None if there is none."""
        delta = self._delta
        if not delta.token_ids and delta.finish_reason is None:
            return None
        self._delta = self._new_delta()
        return delta

    def _piece(self, token_id: int) -> str:
        """The text that a token completes; records the token's offset."""
        piece = self._detokenizer.push(token_id)
        self._record_offset(self._num_characters + piece.begin)
        self._num_characters += len(piece.text)
        return piece.text

    def _record_offset(self, offset: int) -> None:
        # Several U+FFFD can become one character; offsets must not decrease then.
        self._newest_offset = max(self._newest_offset, offset)
        self._delta.token_offsets.append(self._newest_offset)

    def _end_by_token(self, token_id: int) -> None:
        """End the output by an end-of-sequence or stop token, whose text is normally left out."""
        is_stop_token = token_id in self.seq.params.stop_token_ids
        is_shown = self.seq.params.include_stop_str_in_output or not (
            self.seq.params.skip_special_tokens or is_stop_token
        )
        if is_shown:
            piece = self._piece(token_id)
        else:
            piece = ""
            self._record_offset(self._num_characters + len(self._detokenizer.waiting))
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


def logprob_entry(
    token: SampledToken, token_text: TokenText, *, num_top: int | None
) -> dict[int, Logprob]:
    """Log-probabilities of the chosen token, then of the most likely tokens.

    Args:
        num_top: how many of the most likely tokens; the engine may have computed more.
    """
    ranks: dict[int, int | None] = {token.token_id: token.rank}
    logprobs = {token.token_id: token.logprob}
    for rank, (token_id, logprob) in enumerate(token.top_logprobs[:num_top], start=1):
        ranks[token_id] = rank
        logprobs.setdefault(token_id, logprob)
    return {
        token_id: Logprob(
            logprob=logprob, decoded_token=token_text.of_token(token_id), rank=ranks[token_id]
        )
        for token_id, logprob in logprobs.items()
    }
