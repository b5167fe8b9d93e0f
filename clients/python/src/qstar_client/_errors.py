"""Every error this client raises on purpose. Catch at the level you care about.

    QStarClientError
    +-- APIConnectionError          no whole answer arrived: refused, reset, unreachable
    |   +-- APITimeoutError         the server was silent for longer than `timeout`
    +-- APIStatusError              the server answered with an error status
    |   +-- BadRequestError         400
    |   +-- AuthenticationError     401
    |   +-- PermissionDeniedError   403
    |   +-- NotFoundError           404
    |   +-- RateLimitError          429
    |   +-- ServerError             500 and above
    |       +-- ServiceUnavailableError  503
    +-- InvalidResponseError        a success status, but the body is not what the API promises
    +-- StreamError                 a stream began well, then reported an error or stopped short

A misuse of the client itself (an unknown argument, a malformed base_url) is a TypeError or a
ValueError, as anywhere in Python.
"""

import copyreg


class QStarClientError(Exception):
    """Base of every error of this client."""

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would break the default, which calls the class with `args` alone;
        # errors must survive the trip back from a worker process.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class APIConnectionError(QStarClientError):
    """No whole answer arrived. `__cause__` is the httpx error."""


class APITimeoutError(APIConnectionError):
    """Connecting, sending or waiting for the next byte took longer than `timeout`.

    The server may have run the request, so a generation is never retried after it unless the
    connection had not been made.
    """


class APIStatusError(QStarClientError):
    """The server answered with a status outside 200..299.

    Attributes:
        status_code: the HTTP status.
        message: what the server says is wrong.
        param: the request field at fault, or None.
        code: a machine-readable reason such as `context_length_exceeded`, or None.
        request_id: the `x-request-id` response header, for the server's logs, or None.
        body: the decoded JSON body, or its text where it is not JSON.
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
    """400: the request can never succeed as it stands; `param` names the field."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the server forbids this, for example showing thoughts."""


class NotFoundError(APIStatusError):
    """404: no such model or path."""


class RateLimitError(APIStatusError):
    """429: the server holds as many requests as it may.

    Attributes:
        retry_after_s: seconds after which the server suggests a retry, or None.
    """

    retry_after_s: float | None = None


class ServerError(APIStatusError):
    """500 and above: the server failed."""


class ServiceUnavailableError(ServerError):
    """503: loading, draining or stopped."""


class InvalidResponseError(QStarClientError):
    """A success status whose body is not what the API promises; usually a wrong base_url."""


class StreamError(QStarClientError):
    """A stream with status 200 reported an error, broke the format or ended before its end.

    Attributes:
        message: what went wrong.
        param: the request field at fault, or None.
        code: a machine-readable reason, or None.
        body: the decoded error event, or None where the server sent none.
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
