"""Starts an image as a container engine does: own processes, a read-only root, few rights."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from scripts.image_check.commands import CheckError, in_root
from scripts.image_check.image import Image

_START_S = 30


class Container:
    """The process of an image, as process 1 of its own process namespace.

    The root is read-only; only the volume, `/tmp` and `/dev/shm` can be written to. The user has no
    capabilities and cannot gain any. The network is that of the caller.
    """

    def __init__(self, image: Image, volume: Path, log: Path, *, env: dict[str, str]) -> None:
        """
        Args:
            volume: the folder that is mounted as the image's only volume.
            log: where the output goes, as text.
            env: more than that of the image.
        """
        self._image = image
        self._env = image.env | env
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"),
                    *("sh", "-euc", self._script(volume)),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._child()
        """Of the container's process 1, as this machine numbers it."""

    def __enter__(self) -> "Container":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # and with process 1 all others of its namespace
        self._process.wait()

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        return self._process.poll()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container as its user, as `docker exec` does."""
        namespaces = ("--mount", "--pid", "--ipc", "--uts", "--root")
        enter = ["nsenter", f"--target={self.pid}", *namespaces]
        # The root is that of the container already, so that it is not changed again.
        inner = self._words(Path("/"), list(command))
        return subprocess.run([*enter, *inner], capture_output=True, text=True, check=False)

    def has_started(self) -> bool:
        """Whether process 1 is that of the image, and has started the server."""
        name = Path(f"/proc/{self.pid}/comm").read_text().strip()
        return name == Path(self._image.entrypoint[0]).name and bool(_children_of(self.pid))

    def stop(self) -> None:
        """Send SIGTERM to process 1."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """The exit status, once it has ended.

        Raises:
            CheckError: it runs on.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise CheckError(f"the container has not ended after {timeout_s:g} s") from error

    def _words(self, root: Path, command: list[str]) -> list[str]:
        image = self._image
        return in_root(root, command, env=self._env, workdir=image.workdir, user=image.user)

    def _script(self, volume: Path) -> str:
        root, image = str(self._image.root), self._image
        (place,) = image.volumes
        steps = [
            ["mount", "--bind", root, root],
            ["mount", "-t", "proc", "proc", f"{root}/proc"],
            ["mount", "--rbind", "/sys", f"{root}/sys"],
            ["mount", "-t", "tmpfs", "-o", "noexec,nosuid,nodev", "tmpfs", f"{root}/tmp"],
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", f"{root}/dev/shm"],
            ["mount", "--bind", str(volume), root + place],
            ["mount", "-o", "remount,bind,ro", root],
            ["exec", *self._words(image.root, [*image.entrypoint, *image.cmd])],
        ]
        return "\n".join(shlex.join(step) for step in steps)

    def _child(self) -> int:
        """The process that `unshare` has forked."""
        deadline = time.monotonic() + _START_S
        while not (found := _children_of(self._process.pid)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CheckError(f"the container did not start: {self.log.read_text()}")
            time.sleep(0.01)
        return found[0]


def _children_of(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:  # it has ended
        return []
    return [int(child) for child in children.split()]
