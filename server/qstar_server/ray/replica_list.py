"""Keeps the list of replicas, as Ray Serve pushes it to each process with a handle."""

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from qstar_server.ray import live
from qstar_server.replicas.replica_table import Replica


class ReplicaListRouter(RequestRouter):  # type: ignore[misc]  # mypy does not read Ray
    """Writes the replicas to `live.table` whenever they change.

    The front connects to replicas itself; only the few calls of a handle go where this router says.
    """

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Called by Ray Serve when a replica has become ready, stops or has died."""
        super().update_replicas(replicas)
        live.table.update(
            Replica(replica_id=each.replica_id.unique_id, **each.replica_metadata)
            for each in replicas
        )

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,  # noqa: ARG002
    ) -> list[list[RunningReplica]]:
        """Any of them."""
        return [candidate_replicas]
