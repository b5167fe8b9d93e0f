"""How a model is named: in arguments, and by where it was loaded from. Plain data, no torch."""

import os
import re
from pathlib import Path

LAB = "lab"
"""The source that is the packaged lab model, whatever is in the working directory. It is text: a
directory of this name is `./lab` or `Path("lab")`."""
_LAB_MODEL_NAME = "qstar-lab"

_HUB_FOLDER = re.compile(r"models--(?:.*?--)?(?P<name>.+)")
"""How the hub's cache names the folder of a repository: `models--org--name`."""


def source_text(source: str | Path) -> str:
    """The text that names a source. `Path("lab")` becomes "./lab", because "lab" is another."""
    return os.path.join(os.curdir, LAB) if source == Path(LAB) else str(source)


def source_name(source: str) -> str:
    """The last part of a hub id or of a resolved path; "" for a path without one (`/`).

    A snapshot in the hub's cache has the name of its repository, because its folder is named after
    a commit. The lab model is `qstar-lab`. Characters that cannot be printed become `_`.
    """
    if source == LAB:
        return _LAB_MODEL_NAME
    path = Path(os.path.expanduser(source))
    if source and os.path.exists(path):
        path = _resolved(path)
    name = re.sub(r"\.gguf$", "", _repository(path) or path.name, flags=re.IGNORECASE)
    return "".join(character if character.isprintable() else "_" for character in name)


def _resolved(path: Path) -> Path:
    real = Path(os.path.realpath(path))
    # A file in the hub's cache is a link to one that is named after its hash.
    is_named = path.is_dir() or real.suffix.lower() == path.suffix.lower()
    return real if is_named else path


def _repository(path: Path) -> str | None:
    if path.parent.name != "snapshots":
        return None
    match = _HUB_FOLDER.fullmatch(path.parent.parent.name)
    return None if match is None else match["name"]
