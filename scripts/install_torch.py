"""Install PyTorch into the environment of the interpreter that runs this file.

With an NVIDIA GPU: the CUDA build, which is what a plain `pip install torch` gives. Without one: a
CPU build, never the gigabytes of CUDA libraries. The release is PINNED, or the newest where that one
does not exist for this Python; what torch itself needs comes as `constraints.txt` says.
Standard library only; run as

    .venv/bin/python scripts/install_torch.py

before anything that depends on torch, so that pip finds the requirement satisfied.
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
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
CUDA_PACKAGE = re.compile(r"^(nvidia|cuda)(-|$)|^(pytorch-)?triton$")


def main() -> None:
    """Do nothing where a fitting torch is installed; otherwise install the right build."""
    version = installed_version()
    if version is not None and version >= MIN_VERSION:
        say(f"torch {metadata.version('torch')} is installed")
        return
    plan = planned_packages(PINNED)
    requirement = REQUIREMENT if plan is None else PINNED
    if has_nvidia_gpu():
        say(f"NVIDIA GPU found: installing the CUDA build of {requirement}")
        pip("install", "--constraint", str(CONSTRAINTS), requirement)
    elif is_cpu_only(plan):
        say(f"no NVIDIA GPU: installing the CPU build of {requirement}")
        pip("install", "--constraint", str(CONSTRAINTS), requirement)
    else:
        say("no NVIDIA GPU, and pip would take a CUDA build: installing the CPU build with uv")
        pip("install", "uv")
        uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
        uv += ["--constraint", str(CONSTRAINTS), "--torch-backend=cpu", requirement]
        subprocess.run(uv, check=True)


def installed_version() -> tuple[int, int] | None:
    """Major and minor version of the installed torch, or None. Does not import it."""
    try:
        major, minor = metadata.version("torch").split(".")[:2]
    except metadata.PackageNotFoundError:
        return None
    return int(major), int(minor)


def has_nvidia_gpu() -> bool:
    """Whether the driver's own tool runs and succeeds."""
    try:
        result = subprocess.run(["nvidia-smi"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def planned_packages(requirement: str) -> list[str] | None:
    """Names pip would install for a requirement, or None where it cannot be met."""
    plan = [sys.executable, "-m", "pip", "install", "--dry-run", "--report", "-", "--quiet"]
    result = subprocess.run([*plan, requirement], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        return None
    report = json.loads(result.stdout)
    return [entry["metadata"]["name"] for entry in report["install"]]


def is_cpu_only(packages: Iterable[str] | None) -> bool:
    """Whether an install plan exists and brings no CUDA library."""
    if packages is None:
        return False
    return not any(CUDA_PACKAGE.search(re.sub(r"[-_.]+", "-", name).lower()) for name in packages)


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def say(message: str) -> None:
    print(f"install_torch: {message}", flush=True)


if __name__ == "__main__":
    main()
