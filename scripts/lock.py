"""Write constraints.txt: one tested release for each package that `make setup` may install.

    .venv/bin/python -m scripts.lock            # keep the releases that still fit
    .venv/bin/python -m scripts.lock --upgrade  # use the newest releases

uv resolves all extras of both distributions, for every platform and for Python 3.11 and newer.
torch and its CUDA libraries are left out: `install_torch.py` picks them for the machine. pip and
setuptools are left out too, because the virtual environment and torch install them.
"""

import subprocess
import sys
from pathlib import Path

from scripts.install_torch import CUDA_PACKAGE
from scripts.install_torch import PINNED as TORCH

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PROJECTS = ("pyproject.toml", "clients/python/pyproject.toml")
LEFT_OUT = {"torch", "pip", "setuptools"}
HEADER = "# Written by `make lock`; CONTRIBUTING.md says what it guarantees.\n"


def main() -> None:
    """Write the file with uv, then remove the packages that must not be pinned."""
    resolve(*sys.argv[1:])
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines(keepends=True)
    CONSTRAINTS.write_text(HEADER + "".join(filter(is_pinned, lines)), encoding="utf-8")


def resolve(*options: str) -> None:
    """Write all packages to the file, as lines `name==version ; marker`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--all-extras", "--no-annotate", "--no-header"]
    command += ["--output-file", CONSTRAINTS.name, *options, *PROJECTS, "-"]
    subprocess.run(command, cwd=ROOT, input=TORCH, text=True, check=True)


def is_pinned(line: str) -> bool:
    name = line.partition("==")[0]
    return name not in LEFT_OUT and not CUDA_PACKAGE.search(name)


if __name__ == "__main__":
    main()
