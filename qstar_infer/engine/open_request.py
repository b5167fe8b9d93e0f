"""An open request: its sequences, and their deltas."""

import secrets

from qstar_infer.engine.output_processor import OutputProcessor, logprob_entry
from qstar_infer.engine.protocol import AdmittedRequest
from qstar_infer.kv_cache.prefix_cache import TextKeys
from qstar_infer.outputs import CompletionOutput, RequestOutput, RequestTimes
from qstar_infer.sampling.noise import derive_seed
from qstar_infer.text.token_text import TokenText
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus
from qstar_infer.wavefront.wavefront import Wavefront


class OpenRequest:
    """The completions of one request.

    Attributes:
        outputs: one for each completion, ordered by index.
    """

    def __init__(
        self, admitted: AdmittedRequest, token_text: TokenText, *, queued_s: float
    ) -> None:
        """
        Args:
            queued_s: now, by `time.monotonic`.
        """
        self._request = admitted.request
        self._token_text = token_text
        self._is_first_delta = True
        self._queued_s = queued_s
        self._scheduled_s: float | None = None
        self._first_token_s: float | None = None
        seed = admitted.request.params.seed
        if seed is None:
            seed = secrets.randbits(63)
        self.outputs = [
            OutputProcessor(
                _new_sequence(admitted, index=index, seed=derive_seed(seed, index)),
                token_text,
                show_thoughts=admitted.request.show_thoughts,
            )
            for index in range(admitted.request.params.num_candidates)
        ]

    @property
    def is_finished(self) -> bool:
        return all(output.seq.status is SequenceStatus.FINISHED for output in self.outputs)

    def note_scheduled(self, now_s: float) -> None:
        """Note that a step works on the request."""
        if self._scheduled_s is None:
            self._scheduled_s = now_s

    def take_delta(self, now_s: float) -> RequestOutput | None:
        """The output since the last call; None if there is none.

        Args:
            now_s: by `time.monotonic`.
        """
        if not self.outputs[0].seq.is_prompt_scored:
            return None  # the first delta contains the prompt's scores
        deltas = [output.take_delta() for output in self.outputs]
        outputs = [delta for delta in deltas if delta is not None]
        if not outputs:
            return None
        output = RequestOutput(
            request_id=self._request.request_id,
            prompt_token_ids=self._request.prompt_token_ids,
            outputs=outputs,
            finished=self.is_finished,
            times=self._times(outputs, now_s),
        )
        if self._is_first_delta:
            self._add_prompt_scores(output)
            output.num_cached_tokens = self.outputs[0].seq.num_cached_tokens or 0
        self._is_first_delta = False
        return output

    def _times(self, outputs: list[CompletionOutput], now_s: float) -> RequestTimes:
        if self._first_token_s is None and any(output.token_ids for output in outputs):
            self._first_token_s = now_s
        return RequestTimes(
            queued_s=self._queued_s,
            scheduled_s=self._scheduled_s,
            first_token_s=self._first_token_s,
            newest_s=now_s,
        )

    def _add_prompt_scores(self, output: RequestOutput) -> None:
        scoring = self.outputs[0].seq.scoring
        if scoring is not None:
            num_top = self._request.params.prompt_logprobs
            entries = [
                logprob_entry(score, self._token_text, num_top=num_top) for score in scoring.scores
            ]
            output.prompt_logprobs = [None, *entries]
            output.num_prompt_thought_tokens = scoring.num_thought_tokens


def _new_sequence(admitted: AdmittedRequest, *, index: int, seed: int) -> Sequence:
    """Create completion `index`. Completion 0 scores the prompt if the request asks for it."""
    request = admitted.request
    num_prompt_tokens = len(request.prompt_token_ids)
    scores_prompt = request.params.prompt_logprobs is not None and index == 0
    return Sequence(
        request_id=request.request_id,
        index=index,
        params=request.params,
        seed=seed,
        num_thought_tokens=admitted.num_thought_tokens,
        thought_temperature=admitted.thought_temperature,
        num_prompt_tokens=num_prompt_tokens,
        max_tokens=admitted.max_tokens,
        wavefront=Wavefront(request.prompt_token_ids),
        places=admitted.places,
        rules=admitted.rules,
        eos_token_ids=admitted.eos_token_ids,
        priority=request.priority,
        text_keys=TextKeys(request.cache_salt or ""),
        scoring=PromptScoring(num_prompt_tokens) if scores_prompt else None,
    )
