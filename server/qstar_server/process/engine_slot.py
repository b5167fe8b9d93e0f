"""Holds the engine while it loads, serves, drains and closes."""

import logging
import threading
import time
from collections.abc import Callable

from qstar_infer.engine.protocol import Engine, ModelInfo
from qstar_infer.errors import EngineDeadError, QStarError
from qstar_server.http.errors import shutting_down, unavailable

logger = logging.getLogger(__name__)


class EngineSlot:
    """An engine that is loading, is ready or failed to load; later it drains and closes.

    Every method may be called from any thread.
    """

    def __init__(self, load_engine: Callable[[], Engine]) -> None:
        self._load_engine = load_engine
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._failure: Exception | None = None
        self._is_draining = False
        self._is_closed = False
        self._is_abandoned = False
        self._loader: threading.Thread | None = None

    @property
    def failure(self) -> Exception | None:
        """Why the engine could not be loaded. The caller reports a QStarError; any other error has
        been logged."""
        with self._lock:
            return self._failure

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is loaded."""
        with self._lock:
            return self._engine

    @property
    def model(self) -> ModelInfo | None:
        """The engine's model, once it is loaded."""
        engine = self.engine
        return None if engine is None else engine.model

    @property
    def has_died(self) -> bool:
        """Whether the engine ended by itself, not by `close`. It cannot recover."""
        with self._lock:
            return self._engine is not None and not self._is_closed and not self._engine.is_alive

    @property
    def step_age_s(self) -> float | None:
        """Seconds that the engine has been in its current step; None if it is in none."""
        engine = self.engine
        return None if engine is None else engine.stats().step_age_s

    def give_up(self, error: EngineDeadError) -> None:
        """Give up an engine that hangs; open requests end with this error."""
        engine = self.engine
        if engine is not None:
            engine.abandon(error)

    def start_loading(self) -> None:
        """Load on a daemon thread, so that a stop does not wait for it."""
        self._loader = threading.Thread(target=self._load, name="load-engine", daemon=True)
        self._loader.start()

    def ready_engine(self) -> Engine:
        """The engine.

        Raises:
            ApiError: 503. The engine cannot take requests; the message says why.
        """
        with self._lock:
            engine, failure = self._engine, self._failure
            is_stopping = self._is_draining or self._is_closed
        if is_stopping:
            raise shutting_down()
        if failure is not None:
            message = "The model could not be loaded. The server's log has the reason."
            raise unavailable(message, code="model_load_failed", retry=False)
        if engine is None:
            raise unavailable("Loading model", code="model_loading")
        if not engine.is_alive:
            message = "The engine crashed. Restart the server."
            raise unavailable(message, code="engine_dead", retry=False)
        return engine

    def start_draining(self) -> None:
        """Refuse new requests; open requests continue."""
        with self._lock:
            self._is_draining = True

    def close(self) -> None:
        """Close the engine; open requests end with an error. Blocks until it has ended."""
        with self._lock:
            engine = None if self._is_closed else self._engine
            self._is_closed = True
        if engine is not None:
            engine.close()

    def abandon(self) -> None:
        """Leave the engine to the end of the process: `close` does not wait for it any more."""
        with self._lock:
            self._is_closed = True
            self._is_abandoned = True

    @property
    def computes_still(self) -> bool:
        """Whether loading, or an abandoned engine, goes on."""
        return self._is_abandoned or (self._loader is not None and self._loader.is_alive())

    def _load(self) -> None:
        started_s = time.monotonic()
        try:
            engine = self._load_engine()
        except Exception as error:
            if not isinstance(error, QStarError):
                logger.exception("the model could not be loaded")
            with self._lock:
                self._failure = error
            return
        with self._lock:
            self._engine = engine
            is_too_late = self._is_closed
        logger.info("loaded in %.1f s: %s", time.monotonic() - started_s, engine.model.description)
        if is_too_late:
            engine.close()
