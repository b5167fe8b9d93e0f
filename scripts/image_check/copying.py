"""The COPY of a Dockerfile: files of the context, or folders of another root."""

import shutil
from pathlib import Path

from scripts.image_check.build_context import context_files
from scripts.image_check.commands import CheckError, run


def copy_from_context(context: Path, source: str, root: Path, target: str) -> None:
    """Copy a file, or the content of a folder, as far as `.dockerignore` leaves it in.

    Args:
        target: a path in the root; with a slash at its end, a folder.

    Raises:
        CheckError: there is nothing to copy.
    """
    name = Path(source).as_posix()
    files = context_files(context)
    inside = [path for path in files if name == "." or path.startswith(f"{name}/")]
    if name not in files and not inside:
        raise CheckError(f"COPY {source}: .dockerignore leaves it out, or it does not exist")
    place = inside_of(root, target)
    if name in files:
        _copy_file(context / name, place / Path(name).name if target.endswith("/") else place)
    for path in inside:
        _copy_file(context / path, place / Path(path).relative_to(name))


def copy_from_root(other: Path, source: str, root: Path, target: str) -> None:
    """Copy the content of a folder of another root; it belongs to root then.

    Raises:
        CheckError: it is no folder.
    """
    folder = inside_of(other, source)
    if not folder.is_dir():
        raise CheckError(f"COPY --from: {source} is not a folder; only folders are understood")
    place = inside_of(root, target)
    place.mkdir(parents=True, exist_ok=True)
    run("cp", "--archive", "--no-preserve=ownership", f"{folder}/.", place)


def inside_of(root: Path, path: str) -> Path:
    """A path of a root as a path of this machine.

    Raises:
        CheckError: it is a link that leads out of the root.
    """
    place = root / path.lstrip("/")
    if not place.resolve().is_relative_to(root.resolve()):
        raise CheckError(f"{path} is a link that leads out of the root")
    return place


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
