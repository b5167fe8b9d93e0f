"""Request and response types of `POST /v1/chat/completions`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from qstar_infer.errors import RequestError
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import MAX_LOGPROBS, SamplingParams
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_server.conversation.chat_messages import Messages, ToolChoiceField, Tools
from qstar_server.conversation.conversation import Conversation
from qstar_server.conversation.tool_calls.plan import ToolPlan
from qstar_server.generation.field_types import Count
from qstar_server.generation.generation_request import GenerationRequest
from qstar_server.generation.thoughts import ThoughtEntry
from qstar_server.generation.token_logprobs import TokenLogprob
from qstar_server.generation.usage import Usage

DEFAULT_MAX_LOGPROBS = 20


class ChatCompletionRequest(GenerationRequest):
    """OpenAI's request, vLLM's common extensions, and this project's thought fields."""

    messages: Messages
    max_completion_tokens: Count | None = None
    """Most visible and thought tokens together, of each choice."""
    max_tokens: Count | None = None
    """Most visible tokens of each choice. Null fills the context."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    """How many of the most likely tokens to report at each place; only with `logprobs`."""
    tools: Tools | None = None
    tool_choice: ToolChoiceField = None
    parallel_tool_calls: bool | None = None
    """False: at most one call in an answer."""
    include_reasoning: bool | None = None
    """Adds the thoughts as text, in `reasoning` and `reasoning_content`."""
    add_generation_prompt: bool | None = None
    """Begin an answer behind the messages. Null is true, unless the last message is continued."""
    continue_final_message: bool | None = None
    """Continue the last message instead of answering it."""
    add_special_tokens: bool | None = None
    """Null is false: the chat template writes the special tokens itself."""
    metadata: dict[str, Any] | None = None
    """Changes nothing, like the two below."""
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    def conversation(self, plan: ToolPlan) -> Conversation:
        """The messages, with the tools that the model may call.

        Raises:
            RequestError: both ways to end the prompt are asked for.
        """
        if self.add_generation_prompt and self.continue_final_message:
            raise RequestError(
                "add_generation_prompt and continue_final_message are both true, but the prompt "
                "ends either with a new answer or with the last message; leave out one of them",
                param="continue_final_message",
            )
        switches = self.chat_template_kwargs
        begins_answer = not self.continue_final_message
        return Conversation(
            messages=[message.to_message() for message in self.messages],
            tools=plan.tools,
            add_generation_prompt=(
                begins_answer if self.add_generation_prompt is None else self.add_generation_prompt
            ),
            continue_final_message=bool(self.continue_final_message),
            template_options={} if switches is None else switches.model_dump(exclude_none=True),
        )

    def to_sampling_params(self, defaults: SamplingDefaults, plan: ToolPlan) -> SamplingParams:
        """The sampling settings.

        Args:
            defaults: the checkpoint's, for fields that are null.

        Raises:
            RequestError: a value is out of range or contradicts another; `param` names the field.
        """
        if self.top_logprobs is not None and not self.logprobs:
            raise RequestError(
                "top_logprobs can only be set when logprobs is true", param="top_logprobs"
            )
        num_top = 0 if self.top_logprobs is None else self.top_logprobs
        return self.build_sampling_params(
            defaults,
            max_tokens=self.max_tokens,
            best_of=None,
            logprobs=num_top if self.logprobs else None,
            prompt_logprobs=None,
            max_completion_tokens=self.max_completion_tokens,
            structured_outputs=(
                None
                if plan.grammar is None
                else StructuredOutputs(grammar=plan.grammar, param="tool_choice")
            ),
        )


class ChatLogprobs(BaseModel):
    """One entry for each generated token."""

    content: list[TokenLogprob]
    refusal: None = None


class FunctionCall(BaseModel):
    """The function and arguments of a call."""

    name: str
    arguments: str
    """A JSON object, as text."""


class ToolCallMessage(BaseModel):
    """A call that the model made."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class ToolCallDelta(ToolCallMessage):
    """A call in a stream, which comes as a whole."""

    index: int


class AnswerMessage(BaseModel):
    """The model's answer. Unset fields are left out of the JSON."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCallMessage] = []
    reasoning: str | None = None
    """The thoughts as text, null if there are none; left out unless the request has
    `include_reasoning`."""
    reasoning_content: str | None = None
    """The same under its other name."""


class AnswerDelta(BaseModel):
    """What a chunk adds to the answer. Unset fields are left out of the JSON."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    tool_calls: list[ToolCallDelta] = []
    reasoning: str = ""
    reasoning_content: str = ""


FinishReason = Literal["stop", "length", "tool_calls"]


class ChatChoice(BaseModel):
    """One answer. Unset fields are left out of the JSON."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    thoughts: list[ThoughtEntry] = []
    """One entry for each generated token; left out unless the request shows thoughts."""
    token_ids: list[int] = []


class ChunkChoice(BaseModel):
    """What a chunk adds to one answer. Unset fields are left out of the JSON."""

    index: int
    delta: AnswerDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    thoughts: list[ThoughtEntry] = []
    token_ids: list[int] = []


class ChatCompletion(BaseModel):
    """A whole response."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_token_ids: list[int] = []


class ChatCompletionChunk(BaseModel):
    """A chunk of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    """Left out of a stream that did not ask for it."""
    prompt_token_ids: list[int] = []
    """Only in the first chunk of each choice."""
