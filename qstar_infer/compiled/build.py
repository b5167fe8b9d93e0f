"""Builds a C file with the machine's compiler, keeps the library, and loads it."""

import ctypes
import hashlib
import logging
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qstar_infer.cache_directory import cache_directory
from qstar_infer.errors import ConfigError

_log = logging.getLogger(__name__)

_COMMON = Path(__file__).parent
"""Where the headers of all libraries are."""
PREBUILT = _COMMON / "prebuilt"
"""Libraries that were installed with the package; only container images have any."""
_FLAGS = (
    *("-std=c99", "-O3", "-fPIC", "-shared"),
    # Nobody reads errno or the floating point exceptions; compilers vectorise more without them.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"),
)
_AVX512, _AVX2 = ("-march=x86-64-v4",), ("-march=x86-64-v3",)
_TIMEOUT_S = 60


@dataclass(frozen=True)
class CSource:
    """A C file that becomes a library. Headers are found beside it and beside this module."""

    path: Path
    flags: tuple[str, ...]
    """For the compiler, more than those that all libraries are built with."""


def load_library(source: CSource) -> ctypes.CDLL | None:
    """The library of a C file; None if this machine cannot build it, for example has no `cc`."""
    flags = [*_FLAGS, *_instruction_flags(), *source.flags]
    try:
        return ctypes.CDLL(str(_library_file(source.path, flags)))
    except (OSError, subprocess.SubprocessError, ConfigError) as error:
        name = source.path.name
        _log.info("Torch computes what %s would, slower: cannot build it: %s", name, error)
        return None


def prebuild(sources: Sequence[CSource], directory: Path) -> list[Path]:
    """Build the libraries for every kind of CPU of this architecture, and return their files.

    Args:
        directory: created if missing. `load_library` looks for them in `PREBUILT`.

    Raises:
        OSError: there is no compiler, or the directory cannot be written to.
        subprocess.SubprocessError: the compiler failed.
    """
    kinds: tuple[tuple[str, ...], ...] = (_AVX512, _AVX2, ()) if _is_x86_64() else ((),)
    return [
        _build(source.path, [*_FLAGS, *kind, *source.flags], directory)
        for source in sources
        for kind in kinds
    ]


def _library_file(source: Path, flags: list[str]) -> Path:
    """The file of the library; builds it in the cache directory if there is none."""
    return (
        _kept_library(source, flags, PREBUILT)
        or _kept_library(source, flags, cache_directory())
        or _build(source, flags, cache_directory())
    )


def _kept_library(source: Path, flags: list[str], directory: Path) -> Path | None:
    """The file of a library that was built before; None if there is none, or it is damaged.

    Its name ends with the digest of its content: to load a damaged library could end the process.
    """
    for path in directory.glob(f"{_name(source, flags)}-*.so"):
        if path.stem.endswith(_digest(path.read_bytes())):
            return path
    return None


def _build(source: Path, flags: list[str], directory: Path) -> Path:
    name = _name(source, flags)
    directory.mkdir(parents=True, exist_ok=True)
    # Built beside its place, then renamed: another process sees all of it or nothing.
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        built = Path(temporary) / f"{name}.so"
        command = ["cc", *flags, f"-I{_COMMON}", str(source), "-o", str(built), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        return built.replace(directory / f"{name}-{_digest(built.read_bytes())}.so")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _name(source: Path, flags: list[str]) -> str:
    """Names a library by all that it is built from."""
    headers = [*source.parent.glob("*.h"), *_COMMON.glob("*.h")]
    key = hashlib.sha256()
    for file in (source, *sorted(headers)):
        key.update(file.read_bytes())
    key.update(" ".join([platform.system(), platform.machine(), *flags]).encode())
    return f"{source.stem.replace('_', '-')}-{key.hexdigest()[:16]}"


def _instruction_flags() -> tuple[str, ...]:
    """Flags for the instructions that torch uses on this CPU.

    Not `-march=native`: a cache directory may be shared by machines with different CPUs.
    """
    if not _is_x86_64():
        return ()  # such as ARM, where every CPU has NEON
    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        return _AVX512
    return _AVX2 if capability == "AVX2" else ()


def _is_x86_64() -> bool:
    return platform.machine() in ("x86_64", "AMD64")
