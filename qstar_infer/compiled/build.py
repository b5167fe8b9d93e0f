"""Builds a C file with the machine's compiler, keeps the library, and loads it."""

import ctypes
import hashlib
import logging
import platform
import subprocess
import tempfile
from pathlib import Path

import torch

from qstar_infer.cache_directory import cache_directory
from qstar_infer.errors import ConfigError

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
    except (OSError, subprocess.SubprocessError, ConfigError) as error:
        _log.info("Torch computes what %s would, slower: cannot build it: %s", source.name, error)
        return None


def _kept_library(source: Path, flags: list[str]) -> Path:
    """The file of the library in the cache directory; builds it if it is not there.

    Its name ends with the digest of its content: to load a damaged library could end the process.
    """
    name = f"{source.stem.replace('_', '-')}-{_key(source, flags)}"
    directory = cache_directory()
    for path in directory.glob(f"{name}-*.so"):
        if path.stem.endswith(_digest(path.read_bytes())):
            return path
    directory.mkdir(parents=True, exist_ok=True)
    # Built beside its place, then renamed: another process sees all of it or nothing.
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        built = Path(temporary) / f"{name}.so"
        command = ["cc", *flags, str(source), "-o", str(built), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        return built.replace(directory / f"{name}-{_digest(built.read_bytes())}.so")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


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
