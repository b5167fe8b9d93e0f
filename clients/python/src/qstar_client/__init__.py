"""Python client for Quiet-STaR inference servers.

    with QStarClient() as client:
        completion = client.completions.create(prompt="2+2=", show_thoughts=True)

`AsyncQStarClient` is the same with await. All errors are subclasses of `QStarClientError`; their
tree is in `_errors.py`. `qstar_client.terminal` shows thoughts with the package rich.
"""

from qstar_client._answer_types import (
    ChatCompletionTokenLogprob,
    CompletionTokensDetails,
    Draft,
    DroppedThought,
    LikelyToken,
    Passes,
    PromptTokensDetails,
    Thought,
    TopLogprob,
    Usage,
)
from qstar_client._async_client import AsyncQStarClient
from qstar_client._chat.calls import (
    AsyncChat,
    AsyncChatCompletions,
    AsyncChatCompletionStream,
    Chat,
    ChatCompletions,
    ChatCompletionStream,
)
from qstar_client._chat.params import ChatCompletionParams, Message
from qstar_client._chat.types import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionMessage,
    ChoiceDelta,
    ChoiceLogprobs,
    FunctionCall,
    ToolCall,
)
from qstar_client._client import QStarClient
from qstar_client._completions.calls import (
    AsyncCompletions,
    AsyncCompletionStream,
    Completions,
    CompletionStream,
)
from qstar_client._completions.params import CompletionParams, Prompt
from qstar_client._completions.types import (
    Completion,
    CompletionChoice,
    CompletionChunk,
    Logprobs,
    PromptLogprob,
)
from qstar_client._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    QStarClientError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    StreamError,
)
from qstar_client._events import (
    FinishEvent,
    ReasoningEvent,
    StreamEvent,
    TextEvent,
    ThoughtEvent,
    ToolCallEvent,
    UsageEvent,
)
from qstar_client._models import AsyncModels, Model, ModelList, Models
from qstar_client._responses.calls import (
    AsyncResponses,
    AsyncResponseStream,
    Responses,
    ResponseStream,
)
from qstar_client._responses.params import ResponseInput, ResponseParams
from qstar_client._responses.types import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseContent,
    ResponseError,
    ResponseOutputItem,
    ResponseStreamEvent,
    ResponseUsage,
)
from qstar_client._signs import printable
from qstar_client._streams import AsyncStream, Stream
from qstar_client._tokens import DetokenizeResponse, TokenizeResponse
from qstar_client._version import __version__
from qstar_client._view.html import ThoughtsView

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncChat",
    "AsyncChatCompletionStream",
    "AsyncChatCompletions",
    "AsyncCompletionStream",
    "AsyncCompletions",
    "AsyncModels",
    "AsyncQStarClient",
    "AsyncResponseStream",
    "AsyncResponses",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Chat",
    "ChatCompletion",
    "ChatCompletionChoice",
    "ChatCompletionChunk",
    "ChatCompletionChunkChoice",
    "ChatCompletionMessage",
    "ChatCompletionParams",
    "ChatCompletionStream",
    "ChatCompletionTokenLogprob",
    "ChatCompletions",
    "ChoiceDelta",
    "ChoiceLogprobs",
    "Completion",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionParams",
    "CompletionStream",
    "CompletionTokensDetails",
    "Completions",
    "DetokenizeResponse",
    "Draft",
    "DroppedThought",
    "FinishEvent",
    "FunctionCall",
    "IncompleteDetails",
    "InputTokensDetails",
    "InvalidResponseError",
    "LikelyToken",
    "Logprobs",
    "Message",
    "Model",
    "ModelList",
    "Models",
    "NotFoundError",
    "OutputTokensDetails",
    "Passes",
    "PermissionDeniedError",
    "Prompt",
    "PromptLogprob",
    "PromptTokensDetails",
    "QStarClient",
    "QStarClientError",
    "RateLimitError",
    "ReasoningEvent",
    "Response",
    "ResponseContent",
    "ResponseError",
    "ResponseInput",
    "ResponseOutputItem",
    "ResponseParams",
    "ResponseStream",
    "ResponseStreamEvent",
    "ResponseUsage",
    "Responses",
    "ServerError",
    "ServiceUnavailableError",
    "Stream",
    "StreamError",
    "StreamEvent",
    "TextEvent",
    "Thought",
    "ThoughtEvent",
    "ThoughtsView",
    "TokenizeResponse",
    "ToolCall",
    "ToolCallEvent",
    "TopLogprob",
    "Usage",
    "UsageEvent",
    "__version__",
    "printable",
]
