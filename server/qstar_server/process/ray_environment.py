"""What must be set before Ray is imported. Ray itself is imported only by `qstar_server.ray`."""

import secrets
from collections.abc import MutableMapping
from importlib.util import find_spec

from qstar_infer.errors import ConfigError


def prepare_ray(address: str | None, environ: MutableMapping[str, str]) -> None:
    """Set what Ray reads at its import, where the operator has set nothing else.

    It tells nobody of its use. A cluster that is started here (`address` is None) listens on the
    loopback interface and asks for a token, because whoever may speak to Ray may run any code.

    Args:
        address: as `ServerConfig.ray_address`.
        environ: the environment of the process.

    Raises:
        ConfigError: Ray Serve is not installed.
    """
    if find_spec("ray") is None:
        raise ConfigError("--ray needs Ray Serve, which is not installed: pip install 'qstar[ray]'")
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_COLOR_PREFIX": "0",
        "RAY_DEDUP_LOGS": "0",
        # Or a thread of Ray Serve that is late starts another cluster when this one has ended.
        "RAY_ENABLE_AUTO_CONNECT": "0",
    }
    if address is None:
        variables |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # The one switch that makes Ray listen on the loopback interface.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
    for name, value in variables.items():
        environ.setdefault(name, value)
