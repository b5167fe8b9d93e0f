"""Python client for Quiet-STaR inference servers.

    with QStarClient() as client:
        completion = client.completions.create(prompt="2+2=", show_thoughts=True)

`AsyncQStarClient` is the same with await. All errors are subclasses of `QStarClientError`; their
tree is in `_errors.py`.
"""

from qstar_client._async_client import AsyncCompletions, AsyncModels, AsyncQStarClient
from qstar_client._client import Completions, Models, QStarClient
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
from qstar_client._params import CompletionParams, Prompt
from qstar_client._streams import AsyncCompletionStream, CompletionStream
from qstar_client._types import (
    Completion,
    CompletionChoice,
    CompletionChunk,
    CompletionTokensDetails,
    Logprobs,
    Model,
    PromptTokensDetails,
    Thought,
    Usage,
)
from qstar_client._version import __version__

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncCompletionStream",
    "AsyncCompletions",
    "AsyncModels",
    "AsyncQStarClient",
    "AuthenticationError",
    "BadRequestError",
    "Completion",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionParams",
    "CompletionStream",
    "CompletionTokensDetails",
    "Completions",
    "InvalidResponseError",
    "Logprobs",
    "Model",
    "Models",
    "NotFoundError",
    "PermissionDeniedError",
    "Prompt",
    "PromptTokensDetails",
    "QStarClient",
    "QStarClientError",
    "RateLimitError",
    "ServerError",
    "ServiceUnavailableError",
    "StreamError",
    "Thought",
    "Usage",
    "__version__",
]
