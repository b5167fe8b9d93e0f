"""What a web server needs of that which computes its responses: an engine, or replicas."""

from typing import Protocol


class DescribedModel(Protocol):
    """What the line says that tells that the server is ready."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...


class Backend(Protocol):
    """Computes the responses. Every method may be called from any thread."""

    @property
    def model(self) -> DescribedModel | None:
        """None until requests can be served."""
        ...

    @property
    def failure(self) -> Exception | None:
        """Why it will never be ready; the server ends with this error."""
        ...

    @property
    def has_died(self) -> bool:
        """Whether it ended by itself and cannot recover; the server ends."""
        ...

    def start_draining(self) -> None:
        """Refuse new requests; open requests continue."""
        ...

    def close(self) -> None:
        """End open requests with an error. May take long."""
        ...

    def abandon(self) -> None:
        """Leave what `close` still waits for to the end of the process."""
        ...
