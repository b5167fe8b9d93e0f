"""What Ray starts on its machines: a server with an engine, for the front alone."""

from typing import Any

import ray

from qstar_infer.engine_args import EngineArgs
from qstar_server.process.load import load_engine
from qstar_server.ray.queue_policy import RUNNING, WAITING
from qstar_server.replicas.replica_server import ReplicaServer
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.logging_setup import set_up_logging


class EngineReplica:
    """A replica. Ray Serve calls its methods by their names."""

    def __init__(self, engine_args: EngineArgs, config: ServerConfig, secret: str) -> None:
        """Load the engine.

        Raises:
            QStarError: it cannot be loaded.
        """
        set_up_logging(level=config.log_level, log_format=config.log_format)
        self._host: str = ray.util.get_node_ip_address()
        self._server = ReplicaServer(
            lambda: load_engine(engine_args), config, host=self._host, secret=secret
        )
        self._model = self._server.start()

    def record_replica_metadata(self) -> dict[str, Any]:
        """What each process with a handle learns of the replica: fields of `Replica`."""
        return {
            "host": self._host,
            "port": self._server.port,
            "name": self._model.name,
            "description": self._model.description,
        }

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `QueuePolicy` decides by."""
        stats = self._server.stats()
        return {WAITING: stats.num_waiting, RUNNING: stats.num_running}

    def check_health(self) -> None:
        """
        Raises:
            EngineDeadError: Ray Serve replaces the replica.
        """
        self._server.check()

    def is_ready(self) -> bool:
        """Always true: Ray Serve calls it only when `__init__` has ended."""
        return True

    def __del__(self) -> None:
        """Drain. Ray Serve calls it when the replica has left every list."""
        server = getattr(self, "_server", None)
        if server is not None:
            server.stop()
