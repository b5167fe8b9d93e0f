"""Builds a C file with the machine's compiler, keeps the library, and loads it."""

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import torch

from qstar_infer.cache_directory import cache_directory

_log = logging.getLogger(__name__)

_COMMON = Path(__file__).parent
"""Where the headers of all libraries are."""
_FLAGS = (
    *("-std=c99", "-O3", "-fPIC", "-shared", f"-I{_COMMON}"),
    # Nobody reads errno or the floating point exceptions; compilers vectorise more without them.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"),
)
_TIMEOUT_S = 60


def build_library(source: Path, *flags: str) -> ctypes.CDLL | None:
    """The library of a C file; None if this machine cannot build it, for example has no `cc`.

    Args:
        source: the file. Headers are found beside it and beside this module.
        flags: for the compiler, more than those that all libraries are built with.
    """
    try:
        return ctypes.CDLL(str(_kept_library(source, [*_FLAGS, *_instruction_flags(), *flags])))
    except (OSError, subprocess.SubprocessError) as error:
        _log.debug("torch computes what %s would: it cannot be built (%s)", source.name, error)
        return None


def _kept_library(source: Path, flags: list[str]) -> Path:
    """The file of the library in the cache directory; builds it if it is not there."""
    path = cache_directory() / f"{source.stem.replace('_', '-')}-{_key(source, flags)}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its place, then renamed: another process sees all of it or nothing.
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            built = Path(directory) / path.name
            command = ["cc", *flags, str(source), "-o", str(built), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
            os.replace(built, path)
    return path


def _key(source: Path, flags: list[str]) -> str:
    """Names a library by all that it is built from."""
    headers = [*source.parent.glob("*.h"), *_COMMON.glob("*.h")]
    key = hashlib.sha256()
    for file in (source, *sorted(headers)):
        key.update(file.read_bytes())
    key.update(" ".join([platform.system(), platform.machine(), *flags]).encode())
    return key.hexdigest()[:16]


def _instruction_flags() -> list[str]:
    """Flags for the instructions that torch uses on this CPU.

    Not `-march=native`: a cache directory may be shared by machines with different CPUs.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return []  # such as ARM, where every CPU has NEON
    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        return ["-march=x86-64-v4"]
    return ["-march=x86-64-v3"] if capability == "AVX2" else []
