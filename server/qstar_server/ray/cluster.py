"""Connects to a Ray cluster, or starts one for this process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import serve
from ray.serve.schema import LoggingConfig

from qstar_infer.errors import ConfigError

_CONNECT_TIMEOUT_S = 5.0
QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)
"""Of what Ray Serve says itself; our own lines are not concerned."""
_OBJECT_STORE_BYTES = 80_000_000
"""Nothing of ours is in the store of objects; this is about the least that Ray takes."""


@contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """A cluster with Ray Serve; what was started here ends with the block.

    Args:
        address: of a cluster that runs; None: start one, without a dashboard.

    Raises:
        ConfigError: there is no cluster at the address.
    """
    _check_reachable(address)
    own: dict[str, Any] = {
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
    }
    try:
        ray.init(
            address="local" if address is None else address,
            logging_level="warning",
            **(own if address is None else {}),
        )
    except ConnectionError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"there is no Ray cluster at {address!r}: {reason}") from None
    try:
        serve.start(proxy_location="Disabled", logging_config=QUIET)
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Ask before Ray does, which waits for minutes."""
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(f"there is no Ray cluster at {address!r}: {error}") from None
