"""One replica: a whole server with its engine, on a thread of the process that holds it."""

import threading
import time
from collections.abc import Callable

from qstar_infer.engine.protocol import Engine, ModelInfo
from qstar_infer.errors import EngineDeadError
from qstar_infer.outputs import EngineStats
from qstar_server.app import create_app
from qstar_server.http.hosts import ANY
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.process.lifecycle import DrainingServer, watchdog_of
from qstar_server.process.listener import bind_sockets
from qstar_server.replicas.front_check import FrontCheckMiddleware
from qstar_server.settings.config import ServerConfig

_POLL_S = 0.05


class ReplicaServer:
    """Serves the front on a free port.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        config: ServerConfig,
        *,
        host: str,
        secret: str,
    ) -> None:
        """
        Args:
            config: of the front.
            host: an address of this machine that the front can reach.
            secret: that the front sends with each request.
        """
        config = _behind_front(config, host)
        app = create_app(load_engine, config)
        self._slot: EngineSlot = app.state.engine_slot
        self._config = config
        self._sockets = bind_sockets(host, 0)
        self.port: int = self._sockets[0].getsockname()[1]
        self._server = DrainingServer(
            FrontCheckMiddleware(app, secret=secret), self._slot, config, announce=_say_nothing
        )
        self._thread = threading.Thread(target=self._run, name="replica-server", daemon=True)

    def start(self) -> ModelInfo:
        """Serve, and wait until the engine is loaded.

        Raises:
            Exception: the engine cannot be loaded; what `load_engine` has raised.
        """
        self._thread.start()
        while True:
            if self._slot.failure is not None:
                raise self._slot.failure
            if self._slot.model is not None:
                return self._slot.model
            self.check()
            time.sleep(_POLL_S)

    def check(self) -> None:
        """
        Raises:
            EngineDeadError: the engine, or the server, has ended by itself.
        """
        if self._slot.has_died or not self._thread.is_alive():
            raise EngineDeadError("the replica's engine has ended; see the log above")

    def stats(self) -> EngineStats:
        """What the engine has to do. Call it after `start`."""
        assert self._slot.engine is not None, "the replica has not been started"
        return self._slot.engine.stats()

    def stop(self) -> None:
        """Drain: open requests finish, new ones get a 503. May be called twice."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with watchdog_of(self._slot, self._config):
            self._server.run(sockets=self._sockets)


def _behind_front(config: ServerConfig, host: str) -> ServerConfig:
    """The settings of a replica. What concerns clients is checked by the front."""
    return config.model_copy(
        update={
            "host": host,
            "allowed_hosts": (ANY,),
            "allow_origins": (),
            "max_requests_per_key": None,
            # A replica that is given up has no client to hurry for: its last requests may finish.
            "drain_grace_s": config.request_timeout_s,
        }
    )


def _say_nothing(_: str) -> None:
    """The front says that the server is ready."""
