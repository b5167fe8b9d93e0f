"""Where files that can be made again are kept between runs."""

import os
from pathlib import Path

from qstar_infer.errors import ConfigError


def cache_directory() -> Path:
    """`$QSTAR_CACHE`, else `$XDG_CACHE_HOME/qstar`, else `~/.cache/qstar`, as an absolute path.

    Raises:
        ConfigError: the user has no home directory, as in some containers, and neither is set.
    """
    own = os.environ.get("QSTAR_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser().absolute()
        return ((Path(shared) if shared else Path.home() / ".cache") / "qstar").absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"there is no place for the cache: {error} Set QSTAR_CACHE to a directory that can be "
            "written to"
        ) from error
