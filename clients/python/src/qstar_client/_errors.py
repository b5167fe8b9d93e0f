"""All errors that this client raises deliberately.

    QStarClientError
    +-- APIConnectionError          no complete response arrived: refused, reset, unreachable
    |   +-- APITimeoutError         the server sent nothing for longer than `timeout`
    +-- APIStatusError              the server responded with an error status
    |   +-- BadRequestError         400
    |   +-- AuthenticationError     401
    |   +-- PermissionDeniedError   403
    |   +-- NotFoundError           404
    |   +-- RateLimitError          429
    |   +-- ServerError             500 and above
    |       +-- ServiceUnavailableError  503
    +-- InvalidResponseError        a success status, but the body does not follow the API
    +-- StreamError                 a stream reported an error, was malformed or incomplete

Without a subclass: the client is closed, the environment's proxy cannot be used, or no `model` is
given and the server has not exactly one. Wrong use of the client itself (an unknown argument, an
invalid base_url) is a TypeError or a ValueError.
"""

import copyreg


class QStarClientError(Exception):
    """Base class of all errors of this client."""

    def __reduce__(self) -> tuple[object, ...]:
        # Errors must be picklable, to return from worker processes. The default would call the
        # class without its keyword-only arguments.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class APIConnectionError(QStarClientError):
    """No complete response arrived. `__cause__` is the httpx error."""


class APITimeoutError(APIConnectionError):
    """Connecting, sending or waiting for the next byte took longer than `timeout`.

    The server may have run the request, so a generation is retried only if no connection was made.
    """


class APIStatusError(QStarClientError):
    """The server responded with a status outside 200..299.

    Attributes:
        status_code: the HTTP status.
        message: the error message of the server.
        param: the request field at fault, or None.
        code: a machine-readable reason such as `context_length_exceeded`, or None.
        request_id: the `x-request-id` response header, for the server's logs, or None.
        body: the decoded JSON body, or its text if it is not JSON.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        param: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        body: object = None,
    ) -> None:
        super().__init__(f"{message} (HTTP {status_code})")
        self.message = message
        self.status_code = status_code
        self.param = param
        self.code = code
        self.request_id = request_id
        self.body = body


class BadRequestError(APIStatusError):
    """400: the request is invalid; `param` names the field."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the server does not allow this, for example `show_thoughts`."""


class NotFoundError(APIStatusError):
    """404: the model or the path does not exist."""


class RateLimitError(APIStatusError):
    """429: the server's queue is full.

    Attributes:
        retry_after_s: delay before a retry that the server suggests, in seconds, or None.
    """

    retry_after_s: float | None = None


class ServerError(APIStatusError):
    """500 and above: the server failed."""


class ServiceUnavailableError(ServerError):
    """503: the server is loading, draining or stopped."""


class InvalidResponseError(QStarClientError):
    """A success status, but the body does not follow the API; often the base_url is wrong."""


class StreamError(QStarClientError):
    """A stream with status 200 reported an error, was malformed, or ended too early.

    Attributes:
        message: what went wrong.
        param: the request field at fault, or None.
        code: a machine-readable reason, or None.
        body: the decoded error event, or None if the server sent none.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.body = body
