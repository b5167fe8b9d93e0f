"""Runs commands of this machine."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class CheckError(Exception):
    """The image cannot be built here, or is not what it should be."""


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command and return its output.

    Args:
        env: more than the environment of this process.

    Raises:
        CheckError: it failed; the message has the end of its output.
    """
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode:
        said = "\n".join(result.stdout.splitlines()[-30:])
        raise CheckError(f"exit status {result.returncode} of: {' '.join(words)}\n{said}")
    return result.stdout


@contextmanager
def bound(source: Path, target: Path, *, read_only: bool = False) -> Iterator[None]:
    """Mount a file or folder at another place, which is created for that time."""
    created = _create(target, is_folder=source.is_dir())
    run("mount", "--bind", source, target)
    try:
        if read_only:
            run("mount", "--options", "remount,bind,ro", target)
        yield
    finally:
        run("umount", "--lazy", target)
        for path in created:
            path.unlink() if path.is_file() else path.rmdir()


def in_root(
    root: Path, command: Sequence[str], *, env: Mapping[str, str], workdir: str, user: str
) -> list[str]:
    """The words that run a command in another root, with this environment and nothing else."""
    uid, _, gid = user.partition(":")
    words = ["chroot", str(root), "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    if uid != "0":
        words += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    settings = [f"{name}={value}" for name, value in env.items()]
    return [*words, "env", "--ignore-environment", f"--chdir={workdir}", *settings, *command]


def _create(target: Path, *, is_folder: bool) -> list[Path]:
    """Create a mount point, and return what was missing, the innermost first."""
    missing = [path for path in (target, *target.parents) if not path.exists()]
    (target if is_folder else target.parent).mkdir(parents=True, exist_ok=True)
    if not is_folder:
        target.touch()
    return missing
