"""One answer: an engine's completion, separated into content, calls, reasoning and the rest."""

import uuid
from dataclasses import dataclass

from qstar_infer.outputs import CompletionOutput
from qstar_server.conversation.tool_calls.parser import Found, ToolCallParser
from qstar_server.endpoints.chat.protocol import (
    ChatCompletionRequest,
    ChatLogprobs,
    FinishReason,
    FunctionCall,
    ToolCallDelta,
)
from qstar_server.generation.reasoning import ReasoningText
from qstar_server.generation.thoughts import ThoughtEntry, thought_entries
from qstar_server.generation.token_logprobs import TokenBytes, token_logprobs


@dataclass(slots=True, kw_only=True)
class AnswerPart:
    """What an output adds to its answer, or the whole answer."""

    content: str
    calls: list[ToolCallDelta]
    reasoning: str
    logprobs: ChatLogprobs | None
    """None: not asked for."""
    thoughts: list[ThoughtEntry]
    token_ids: list[int]
    finish_reason: FinishReason | None


class Answer:
    """Reads one completion, from its deltas or from its whole output.

    Attributes:
        has_begun: whether an output was read.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        *,
        parser: ToolCallParser | None,
        token_bytes: TokenBytes,
    ) -> None:
        """
        Args:
            parser: finds tool calls; None: all text is content.
        """
        self._request = request
        self._parser = parser
        self._token_bytes = token_bytes
        self._reasoning = ReasoningText()
        self._num_calls = 0
        self.has_begun = False

    def push(self, output: CompletionOutput) -> AnswerPart:
        """What the next output adds."""
        self.has_begun = True
        request = self._request
        found = self._found(output)
        calls = [
            ToolCallDelta(
                index=self._num_calls + number,
                id=f"call_{uuid.uuid4().hex[:24]}",
                type="function",
                function=FunctionCall(name=call.name, arguments=call.arguments),
            )
            for number, call in enumerate(found.calls)
        ]
        self._num_calls += len(calls)
        return AnswerPart(
            content=found.content,
            calls=calls,
            reasoning=self._reasoning.push(output.thoughts) if request.include_reasoning else "",
            logprobs=self._logprobs(output),
            thoughts=thought_entries(output.thoughts) if request.show_thoughts else [],
            token_ids=list(output.token_ids) if request.return_token_ids else [],
            finish_reason=self._finish_reason(output),
        )

    def _found(self, output: CompletionOutput) -> Found:
        if self._parser is None:
            return Found(output.text)
        found = self._parser.push(output.text)
        if output.finish_reason is not None:
            last = self._parser.flush()
            found = Found(found.content + last.content, found.calls + last.calls)
        return found

    def _logprobs(self, output: CompletionOutput) -> ChatLogprobs | None:
        if not self._request.logprobs:
            return None
        content = token_logprobs(
            output.token_ids,
            [] if output.logprobs is None else output.logprobs,
            num_top=self._request.top_logprobs or 0,
            token_bytes=self._token_bytes,
            names_ids=bool(self._request.return_tokens_as_token_ids),
        )
        return ChatLogprobs(content=content, refusal=None)

    def _finish_reason(self, output: CompletionOutput) -> FinishReason | None:
        if output.finish_reason == "stop" and self._num_calls:
            return "tool_calls"
        return output.finish_reason
