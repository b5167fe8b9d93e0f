"""Every error this project raises on purpose.

    QStarError
    +-- ConfigError         a setting is wrong (also a ValueError)
    +-- CheckpointError     a checkpoint cannot be loaded or saved
    +-- RequestError        one request asks for something impossible (also a ValueError)
    |   +-- ContextLengthError
    +-- QueueFullError      the server holds as many requests as it may; try again later
    +-- RequestFailedError  the engine failed at a request; others go on
    +-- EngineDeadError     the engine stopped; nothing will answer until a restart
        +-- EngineClosedError   it was told to stop

A message says what is wrong, with which value, and what to do about it.
"""


class QStarError(Exception):
    """Base of every error of this project."""


class ConfigError(QStarError, ValueError):
    """A configuration value is out of range or contradicts another."""


class CheckpointError(QStarError):
    """A checkpoint is missing, malformed, unsafe or of an unknown version."""


class RequestError(QStarError, ValueError):
    """A request that can never succeed as it stands.

    Attributes:
        param: the request field at fault, or None when it is the request as a whole.
        code: a machine-readable reason, or None.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(RequestError):
    """The prompt, or the prompt and the tokens asked for, exceed the context."""

    def __init__(self, message: str, *, param: str | None = "prompt") -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class QueueFullError(QStarError):
    """The waiting queue is full.

    Attributes:
        retry_after_s: whole seconds, at least 1, after which a retry is sensible.
    """

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestFailedError(QStarError):
    """An error of the engine's own ended this request; its cause is the exception's cause."""


class EngineDeadError(QStarError):
    """The engine loop has ended, by an error but for the subclass; open requests end with this."""


class EngineClosedError(EngineDeadError):
    """The engine was closed on purpose; requests that were still open end with this."""
