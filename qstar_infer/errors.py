"""All errors that this project raises deliberately.

    QStarError
    +-- ConfigError         a setting is wrong (also a ValueError)
    +-- CheckpointError     a checkpoint cannot be loaded or saved
    +-- SavedRunError       a file of answers and thoughts cannot be read or written
    +-- RequestError        one request asks for something impossible (also a ValueError)
    |   +-- ContextLengthError  the prompt and the requested tokens exceed the context
    +-- QueueFullError      the engine holds as many sequences as it may; try again later
    +-- RequestFailedError  an internal error ended one request; other requests continue
    |   +-- NotFiniteError      the model computed NaN or infinity for it
    |   +-- NoTokenError        what it allows leaves no token that may come next
    +-- EngineDeadError     the engine stopped; requests fail until a restart
        +-- EngineClosedError   the engine was closed deliberately

A message says what is wrong, with which value, and what to do about it.
"""


class QStarError(Exception):
    """Base class of all errors of this project."""


class ConfigError(QStarError, ValueError):
    """A configuration value is out of range or contradicts another."""


class CheckpointError(QStarError):
    """A checkpoint is missing, malformed, unsafe or of an unknown version."""


class SavedRunError(QStarError):
    """A file of answers and their thoughts cannot be read, is malformed, or cannot be written."""


class RequestError(QStarError, ValueError):
    """A request is invalid and can never succeed.

    Attributes:
        param: the request field at fault; None if the request as a whole is.
        code: a machine-readable reason, or None.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(RequestError):
    """The prompt, or the prompt plus the requested tokens, exceeds the context."""

    def __init__(self, message: str, *, param: str | None = "prompt") -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class QueueFullError(QStarError):
    """The waiting queue is full.

    Attributes:
        retry_after_s: suggested delay before a retry, in whole seconds, at least 1.
    """

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestFailedError(QStarError):
    """An internal engine error ended this request; `__cause__` is the original error."""


class NotFiniteError(RequestFailedError):
    """The model computed a number that is NaN or infinite, which the request depends on."""

    def __init__(self, what: str, *, dtype: str) -> None:
        """
        Args:
            what: what is not finite, with its verb: "the logits are".
            dtype: the type that it was computed in, such as "float16".
        """
        super().__init__(
            f"{what} not finite (NaN or infinite) in {dtype}; {_WAYS_TO_FINITE.get(dtype, _BROKEN)}"
        )


class NoTokenError(RequestFailedError):
    """Nothing that the request allows may come next. The same request may fail again."""


_BROKEN = (
    "the weights or the model's settings are probably damaged: load the checkpoint again from its "
    "source"
)
_WAYS_TO_FINITE = {
    "float16": "float16 ends at 65504: load the model with --dtype bfloat16 or float32",
    "bfloat16": f"load the model with --dtype float32. If that does not help, {_BROKEN}",
}


class EngineDeadError(QStarError):
    """The engine loop has ended because of an error; open requests end with this error."""


class EngineClosedError(EngineDeadError):
    """The engine was closed deliberately; open requests end with this error."""


def shown(value: object) -> str:
    """At most 40 characters of a rejected value, so that messages stay short."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"  # repr() fails above 4300 digits
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
