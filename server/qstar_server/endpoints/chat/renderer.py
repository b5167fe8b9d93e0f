"""Engine outputs as the JSON of `/v1/chat/completions`, streamed or not."""

import time
from collections.abc import Sequence
from typing import Any

from qstar_infer.engine.protocol import AdmittedRequest
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_server.conversation.tool_calls.plan import ToolPlan
from qstar_server.endpoints.chat.answer import Answer, AnswerPart
from qstar_server.endpoints.chat.protocol import (
    AnswerDelta,
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChunkChoice,
    ToolCallMessage,
)
from qstar_server.generation.token_logprobs import TokenBytes
from qstar_server.generation.usage import TokenCounts, Usage
from qstar_server.http.response_json import to_json, to_large_json

_LARGE_DELTA_TOKENS = 64


class ChatRenderer:
    """Implements `Renderer`."""

    def __init__(
        self,
        request: ChatCompletionRequest,
        admitted: AdmittedRequest,
        plan: ToolPlan,
        *,
        response_id: str,
        token_bytes: TokenBytes,
    ) -> None:
        self._request = request
        self._prompt_token_ids = admitted.request.prompt_token_ids
        self._id = response_id
        self._created = int(time.time())
        self._answers = [
            Answer(request, parser=plan.parser(), token_bytes=token_bytes)
            for _ in range(admitted.request.params.n)
        ]
        self._has_tools = plan.format is not None
        options = request.stream_options
        self._has_usage = options is not None and bool(options.include_usage)
        self._has_running_usage = options is not None and bool(options.continuous_usage_stats)

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        """The body of a whole response."""
        (output,) = outputs
        response = ChatCompletion(
            id=self._id,
            object="chat.completion",
            created=self._created,
            model=self._request.model,
            choices=[self._choice(each) for each in output.outputs],
            usage=Usage.of(counts),
        )
        if self._request.return_token_ids:
            response.prompt_token_ids = self._prompt_token_ids
        return to_large_json(response)

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `frames` would block an event loop for long with this delta."""
        return any(len(output.token_ids) > _LARGE_DELTA_TOKENS for output in delta.outputs)

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> list[str]:
        """The chunks of each choice that the delta adds to."""
        chunks = [chunk for output in delta.outputs for chunk in self._chunks(output)]
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
        chunk = self._chunk([])
        chunk.usage = Usage.of(counts)
        return [to_json(chunk)]

    def _choice(self, output: CompletionOutput) -> ChatChoice:
        part = self._answers[output.index].push(output)
        message = AnswerMessage(
            role="assistant",
            content=None if part.calls and not part.content else part.content,
            refusal=None,
        )
        if part.calls:
            message.tool_calls = [
                ToolCallMessage(id=call.id, type="function", function=call.function)
                for call in part.calls
            ]
        if self._request.include_reasoning:
            message.reasoning = message.reasoning_content = part.reasoning or None
        return ChatChoice(
            index=output.index,
            message=message,
            logprobs=part.logprobs,
            finish_reason=part.finish_reason,
            **self._optional_fields(part),
        )

    def _chunks(self, output: CompletionOutput) -> list[ChatCompletionChunk]:
        """The role first, then what the output adds, then the finish reason on its own."""
        answer = self._answers[output.index]
        is_first = not answer.has_begun
        part = answer.push(output)
        chunks: list[ChatCompletionChunk] = []
        if is_first:
            opening = self._chunk_of(output.index, AnswerDelta(role="assistant", content=""))
            if self._request.return_token_ids:
                opening.prompt_token_ids = self._prompt_token_ids
            chunks.append(opening)
        # Without tools, each token has a chunk; with them, none that only grows a call.
        is_token = part.finish_reason is None and not self._has_tools
        if is_token or self._has_news(part):
            chunks.append(self._news(output.index, part))
        if part.finish_reason is not None:
            last = self._chunk_of(output.index, AnswerDelta())
            last.choices[0].finish_reason = part.finish_reason
            chunks.append(last)
        return chunks

    def _has_news(self, part: AnswerPart) -> bool:
        has_text = bool(part.content or part.calls or part.reasoning)
        return has_text or bool(part.logprobs or part.thoughts or part.token_ids)

    def _news(self, index: int, part: AnswerPart) -> ChatCompletionChunk:
        delta = AnswerDelta()
        if part.content or not self._has_tools:
            delta.content = part.content
        if part.calls:
            delta.tool_calls = part.calls
        if part.reasoning:
            delta.reasoning = delta.reasoning_content = part.reasoning
        chunk = self._chunk_of(index, delta)
        choice = chunk.choices[0]
        choice.logprobs = part.logprobs
        for name, value in self._optional_fields(part).items():
            setattr(choice, name, value)
        return chunk

    def _optional_fields(self, part: AnswerPart) -> dict[str, Any]:
        """The fields that a choice has only where the request asks for them."""
        fields: dict[str, Any] = {}
        if self._request.show_thoughts:
            fields["thoughts"] = part.thoughts
        if self._request.return_token_ids:
            fields["token_ids"] = part.token_ids
        return fields

    def _chunk_of(self, index: int, delta: AnswerDelta) -> ChatCompletionChunk:
        return self._chunk(
            [ChunkChoice(index=index, delta=delta, logprobs=None, finish_reason=None)]
        )

    def _chunk(self, choices: list[ChunkChoice]) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._request.model,
            choices=choices,
        )
