"""Which replicas there are, as whoever starts them says."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One server with an engine of its own."""

    replica_id: str
    """Names the replica in metrics. Never used again for another one."""
    host: str
    port: int
    name: str
    """Of the model."""
    description: str
    """Of the model; see `ModelInfo`."""


class ReplicaTable:
    """The replicas that are ready. One thread writes it, any thread may read it."""

    def __init__(self) -> None:
        self._replicas: tuple[Replica, ...] = ()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All that are ready, in no special order."""
        return self._replicas

    def update(self, replicas: Iterable[Replica]) -> None:
        """Replace the whole table."""
        self._replicas = tuple(replicas)
