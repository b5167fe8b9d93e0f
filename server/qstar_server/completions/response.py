"""Engine deltas as choices on the wire, the same for a stream and a whole response."""

from collections.abc import Sequence

from qstar_infer.engine.protocol import Engine
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.sampling_params import SamplingParams
from qstar_server.completions.logprobs import OutputOffsets, legacy_logprobs, prompt_logprobs
from qstar_server.completions.prompts import Prompt
from qstar_server.completions.protocol import CompletionChoice, CompletionRequest, Logprobs
from qstar_server.wire import thought_entries


class ChoiceWriter:
    """Writes one choice, delta by delta.

    Attributes:
        index: the choice's place in the response.
        has_begun: something has been written.
    """

    def __init__(
        self,
        request: CompletionRequest,
        prompt: Prompt,
        *,
        index: int,
        offsets: OutputOffsets,
    ) -> None:
        self.index = index
        self._request = request
        self._prompt = prompt
        self._offsets = offsets
        self.has_begun = False
        self._logprob_sum = 0.0
        self._num_tokens = 0

    @property
    def mean_logprob(self) -> float:
        """What `best_of` ranks by; a completion without tokens ranks last."""
        if self._num_tokens == 0:
            return float("-inf")
        return self._logprob_sum / self._num_tokens

    def write(
        self, delta: CompletionOutput, echoed_logprobs: Logprobs | None
    ) -> CompletionChoice | None:
        """What the delta adds to the choice, the first with the echoed prompt; None for no news."""
        is_first = not self.has_begun
        is_echo = is_first and bool(self._request.echo)
        if not (delta.text or delta.token_ids or delta.finish_reason or is_echo):
            return None
        self.has_begun = True
        self._num_tokens += len(delta.token_ids)
        self._logprob_sum += sum(thought.logprob for thought in delta.thoughts)
        choice = CompletionChoice(
            index=self.index,
            text=self._prompt.text + delta.text if is_echo else delta.text,
            logprobs=self._logprobs(delta, echoed_logprobs if is_echo else None),
            finish_reason=delta.finish_reason,
        )
        if self._request.show_thoughts:
            choice.thoughts = thought_entries(delta.thoughts)
        if self._request.return_token_ids:
            choice.token_ids = list(delta.token_ids)
            if is_first:
                choice.prompt_token_ids = self._prompt.token_ids
        return choice

    def _logprobs(self, delta: CompletionOutput, echoed: Logprobs | None) -> Logprobs | None:
        if self._request.logprobs is None:
            return None
        entries = delta.logprobs if delta.logprobs is not None else []
        arrays = legacy_logprobs(delta.token_ids, entries, self._offsets.of(delta))
        # Shared by all choices: copied, the scores of a long prompt would be held a hundred times.
        return arrays if echoed is None else echoed.followed_by(arrays)


class PromptWriter:
    """Writes the choices of one prompt.

    Attributes:
        choices: the writers, in the engine's order.
    """

    def __init__(
        self,
        engine: Engine,
        request: CompletionRequest,
        prompt: Prompt,
        params: SamplingParams,
        *,
        first_index: int,
    ) -> None:
        self._engine = engine
        self._prompt = prompt
        self._echoed_logprobs: Logprobs | None = None
        self.choices: Sequence[ChoiceWriter] = [
            ChoiceWriter(
                request,
                prompt,
                index=first_index + number,
                offsets=OutputOffsets(
                    engine,
                    prompt,
                    start=len(prompt.text) if request.echo else 0,
                    skip_special_tokens=params.skip_special_tokens,
                ),
            )
            for number in range(params.n)
        ]

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `write` would hold up an event loop: it makes or repeats a prompt's scores."""
        if self._echoed_logprobs is None:
            return delta.prompt_logprobs is not None
        return not all(self.choices[output.index].has_begun for output in delta.outputs)

    def write(self, delta: RequestOutput) -> list[CompletionChoice]:
        """What the delta adds to each choice; `is_slow` tells where to call it."""
        if delta.prompt_logprobs is not None:
            self._echoed_logprobs = prompt_logprobs(
                self._engine, self._prompt, delta.prompt_logprobs
            )
        written = [
            self.choices[output.index].write(output, self._echoed_logprobs)
            for output in delta.outputs
        ]
        return [choice for choice in written if choice is not None]
