"""Install PyTorch into the environment of the interpreter that runs this file.

With an NVIDIA GPU it installs the CUDA build, as a plain `pip install torch` does. Without one it
installs a CPU build of the PINNED release, and no CUDA libraries, which take gigabytes. The
dependencies of torch get the versions in `constraints.txt`. Standard library only. Run

    .venv/bin/python scripts/install_torch.py

before installing anything that depends on torch, so that pip finds the requirement satisfied.
A machine without a GPU that builds an image for one with a GPU gives the argument `cuda`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

MIN_VERSION = (2, 11)
REQUIREMENT = "torch>=2.11"
PINNED = "torch==2.13.0"
"""For CPUs and images. For CPUs, if it does not exist for this Python version, any release that
meets REQUIREMENT."""
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
CUDA_PACKAGE = re.compile(r"^(nvidia|cuda)(-|$)|^(pytorch-)?triton$")


def main() -> None:
    """Install the right build of torch, unless a sufficient version is installed."""
    version = installed_version()
    if version is not None and version >= MIN_VERSION:
        say(f"torch {metadata.version('torch')} is installed")
    elif sys.argv[1:] == ["cuda"]:
        install_cuda_build()
    elif has_nvidia_gpu():
        say("NVIDIA GPU found: installing the CUDA build of torch")
        pip("install", "--constraint", str(CONSTRAINTS), REQUIREMENT)
    else:
        install_cpu_build()


def install_cuda_build() -> None:
    """Install the CUDA build of the pinned release, whether or not this machine has a GPU.

    Raises:
        SystemExit: pip would install something else.
    """
    plan = planned_packages(PINNED)
    if plan is None or is_cpu_only(plan):
        sys.exit(
            f"install_torch: pip finds no CUDA build of {PINNED}; give it an index that has one"
        )
    say("installing the CUDA build of torch")
    pip("install", "--constraint", str(CONSTRAINTS), PINNED)


def install_cpu_build() -> None:
    """Install with pip if that brings no CUDA library, else with uv, which can choose the build."""
    plan = planned_packages(PINNED)
    if is_cpu_only(plan):
        say("no NVIDIA GPU: installing the CPU build of torch")
        pip("install", "--constraint", str(CONSTRAINTS), PINNED)
        return
    say("no NVIDIA GPU, and pip would install a CUDA build: installing the CPU build with uv")
    pip("install", "uv")
    uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    uv += ["--constraint", str(CONSTRAINTS), "--torch-backend=cpu"]
    subprocess.run([*uv, REQUIREMENT if plan is None else PINNED], check=True)


def installed_version() -> tuple[int, int] | None:
    """Major and minor version of the installed torch, or None. Does not import it."""
    try:
        major, minor = metadata.version("torch").split(".")[:2]
    except metadata.PackageNotFoundError:
        return None
    return int(major), int(minor)


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi` runs and succeeds."""
    try:
        result = subprocess.run(["nvidia-smi"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def planned_packages(requirement: str) -> list[str] | None:
    """Names of the packages that pip would install, or None if the requirement cannot be met."""
    plan = [sys.executable, "-m", "pip", "install", "--dry-run", "--report", "-", "--quiet"]
    result = subprocess.run([*plan, requirement], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        return None
    report = json.loads(result.stdout)
    return [entry["metadata"]["name"] for entry in report["install"]]


def is_cpu_only(packages: Iterable[str] | None) -> bool:
    """Whether there is an install plan, and it contains no CUDA library."""
    if packages is None:
        return False
    return not any(CUDA_PACKAGE.search(re.sub(r"[-_.]+", "-", name).lower()) for name in packages)


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def say(message: str) -> None:
    print(f"install_torch: {message}", flush=True)


if __name__ == "__main__":
    main()
