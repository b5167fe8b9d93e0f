"""Where files that can be made again are kept between runs."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """`$QSTAR_CACHE`, else `$XDG_CACHE_HOME/qstar`, else `~/.cache/qstar`."""
    own = os.environ.get("QSTAR_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "qstar"
