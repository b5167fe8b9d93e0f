"""Virtual environments that hold wheels and their dependencies, but nothing else of this one."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class EmptyEnvironment:
    """A new virtual environment, and a home directory, in which commands run.

    Wheels are really installed. Their dependencies are links to the packages of the interpreter
    that runs the tests: those that the metadata of the wheels asks for, theirs, and no others.
    """

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self._venv = directory / "venv"
        self.python = self._venv / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self._venv], check=True)
        (self.packages,) = self._venv.glob("lib/*/site-packages")

    @property
    def variables(self) -> dict[str, str]:
        """All environment variables of a command."""
        return {
            "PATH": f"{self._venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONUNBUFFERED": "1",
        }

    def install(self, wheel: Path) -> None:
        """Install a wheel, without its dependencies."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)

    def link_dependencies(self, name: str, *extras: str) -> None:
        """Link what an installed wheel needs, with these extras."""
        (installed,) = Distribution.discover(name=name, path=[str(self.packages)])
        for found in dependencies(installed, extras):
            self.link(found)

    def link(self, found: Distribution) -> None:
        """Link the top-level files and directories of a distribution."""
        tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
        for top in tops:
            here = self.packages / top
            if not here.exists():
                here.symlink_to(Path(str(found.locate_file(top))))

    def run(self, *command: str, text: str = "", status: int = 0) -> str:
        """Run a command of the environment; returns stdout, then stderr.

        Raises:
            AssertionError: its status is another one.
        """
        result = subprocess.run(
            command, cwd=self.home, env=self.variables, input=text, capture_output=True, text=True
        )
        assert result.returncode == status, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout + result.stderr


def dependencies(root: Distribution, extras: Iterable[str]) -> list[Distribution]:
    """The distributions here that one needs, directly and indirectly."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(_requirements(root, extras))
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            found[key[0]] = distribution(requirement.name)
            todo += _requirements(found[key[0]], requirement.extras)
    return list(found.values())


def _requirements(of: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for line in of.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in ("", *extras)):
            yield requirement
