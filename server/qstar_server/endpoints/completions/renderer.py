"""Engine outputs as the JSON of `/v1/completions`, the same in a stream and a whole response."""

import time
from collections.abc import Mapping, Sequence

from qstar_infer.outputs import CompletionOutput, Logprob, RequestOutput
from qstar_server.endpoints.completions.logprobs import (
    cut_entries,
    echoed_logprobs,
    legacy_logprobs,
    vllm_prompt_logprobs,
)
from qstar_server.endpoints.completions.prompts import Decode, Prompt
from qstar_server.endpoints.completions.protocol import (
    CompletionChoice,
    CompletionRequest,
    CompletionResponse,
    Logprobs,
    PromptLogprob,
)
from qstar_server.generation.thoughts import thought_entries
from qstar_server.generation.usage import TokenCounts, Usage
from qstar_server.http.response_json import to_json, to_large_json

_LARGE_DELTA_TOKENS = 64


class CompletionRenderer:
    """Implements `Renderer`."""

    def __init__(
        self,
        request: CompletionRequest,
        prompts: Sequence[Prompt],
        *,
        response_id: str,
        decode: Decode,
    ) -> None:
        """
        Args:
            decode: keeps special tokens.
        """
        self._request = request
        self._id = response_id
        self._created = int(time.time())
        self._prompts = {
            prompt.request_id: PromptRenderer(request, prompt, number=number, decode=decode)
            for number, prompt in enumerate(prompts)
        }
        options = request.stream_options
        self._has_usage = options is not None and bool(options.include_usage)
        self._has_running_usage = options is not None and bool(options.continuous_usage_stats)

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        """The body of a whole response."""
        response = self._response([choice for each in outputs for choice in self._choices(each)])
        response.usage = Usage.of(counts)
        return to_large_json(response)

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `frames` would block an event loop for long with this delta."""
        return self._prompts[delta.request_id].is_slow(delta)

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> list[str]:
        """One chunk for each choice that the delta adds to."""
        chunks = [self._response([choice]) for choice in self._choices(delta)]
        for chunk in chunks:
            if self._has_running_usage:
                chunk.usage = Usage.of(counts)
            elif self._has_usage:
                chunk.usage = None  # written as null, because it is set
        return [to_json(chunk) for chunk in chunks]

    def last_frames(self, counts: TokenCounts) -> list[str]:
        """A chunk without choices that holds the usage, if the client asked for it."""
        if not self._has_usage:
            return []
        chunk = self._response([])
        chunk.usage = Usage.of(counts)
        return [to_json(chunk)]

    def _choices(self, output: RequestOutput) -> list[CompletionChoice]:
        return self._prompts[output.request_id].choices(output)

    def _response(self, choices: list[CompletionChoice]) -> CompletionResponse:
        return CompletionResponse(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._request.model,
            choices=choices,
        )


class PromptRenderer:
    """Writes the choices of one prompt, from deltas or from the whole output."""

    def __init__(
        self, request: CompletionRequest, prompt: Prompt, *, number: int, decode: Decode
    ) -> None:
        """
        Args:
            number: how many prompts of the request come before this one.
            decode: keeps special tokens.
        """
        self._request = request
        self._prompt = prompt
        self._decode = decode
        self._first_index = number * prompt.admitted.request.params.n
        self._echoed_text = prompt.echoed_text
        self._echoed_logprobs: Logprobs | None = None
        self._prompt_logprobs: list[dict[str, PromptLogprob] | None] = []
        self._names_ids = bool(request.return_tokens_as_token_ids)
        self._begun: set[int] = set()
        """Indices of the completions that have a first chunk."""

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `choices` would block an event loop for long with this delta."""
        if delta.prompt_logprobs is not None:
            return True
        is_echo = self._echoed_logprobs is not None or bool(self._prompt_logprobs)
        return any(
            len(output.token_ids) > _LARGE_DELTA_TOKENS
            or (is_echo and output.index not in self._begun)
            for output in delta.outputs
        )

    def choices(self, output: RequestOutput) -> list[CompletionChoice]:
        """What the output adds to each choice; the first piece of each has the echoed prompt."""
        if output.prompt_logprobs is not None:
            self._keep_scores(output.prompt_logprobs)
        return [self._choice(each) for each in output.outputs if self._has_news(each)]

    def _keep_scores(self, entries: Sequence[Mapping[int, Logprob] | None]) -> None:
        """Render the prompt's scores, once for all choices."""
        if self._request.echo and self._request.logprobs is not None:
            self._echoed_logprobs = echoed_logprobs(
                self._prompt,
                self._cut(entries, self._request.logprobs),
                decode=self._decode,
                names_ids=self._names_ids,
            )
        if self._request.prompt_logprobs is not None:
            self._prompt_logprobs = vllm_prompt_logprobs(
                self._cut(entries, self._request.prompt_logprobs)
            )

    def _cut(
        self, entries: Sequence[Mapping[int, Logprob] | None], num_top: int
    ) -> Sequence[Mapping[int, Logprob] | None]:
        """The entries with this many of the most likely tokens; the engine may have given more."""
        if num_top == self._prompt.admitted.request.params.prompt_logprobs:
            return entries
        return cut_entries(self._prompt.token_ids, entries, num_top=num_top)

    def _has_news(self, output: CompletionOutput) -> bool:
        is_echo = bool(self._request.echo) and output.index not in self._begun
        return bool(output.text or output.token_ids or output.finish_reason) or is_echo

    def _choice(self, output: CompletionOutput) -> CompletionChoice:
        is_first = output.index not in self._begun
        self._begun.add(output.index)
        choice = CompletionChoice(
            index=self._first_index + output.index,
            text=self._echoed_text + output.text if is_first else output.text,
            logprobs=self._logprobs(output, is_first=is_first),
            finish_reason=output.finish_reason,
        )
        if self._request.show_thoughts:
            choice.thoughts = thought_entries(output.thoughts)
        if is_first and self._prompt_logprobs:
            choice.prompt_logprobs = self._prompt_logprobs
        if self._request.return_token_ids:
            choice.token_ids = list(output.token_ids)
            if is_first:
                choice.prompt_token_ids = self._prompt.token_ids
        return choice

    def _logprobs(self, output: CompletionOutput, *, is_first: bool) -> Logprobs | None:
        if self._request.logprobs is None:
            return None
        start = len(self._echoed_text)
        arrays = legacy_logprobs(
            output.token_ids,
            [] if output.logprobs is None else output.logprobs,
            [start + offset for offset in output.token_offsets],
            names_ids=self._names_ids,
        )
        if not is_first or self._echoed_logprobs is None:
            return arrays
        # All choices share the entries: with copies, a long prompt would be held a hundred times.
        return self._echoed_logprobs.followed_by(arrays)
