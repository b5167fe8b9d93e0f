"""Builds `row_ops.c` with the machine's C compiler, keeps the library, and loads it."""

import ctypes
import functools
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

_SOURCE = Path(__file__).with_name("row_ops.c")
_FLAGS = (
    *("-std=c99", "-O3", "-fPIC", "-shared"),
    # Nobody reads errno or the floating point exceptions; compilers vectorise more without them.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-ffp-contract=off"),
)
_TIMEOUT_S = 60

_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_ARGUMENTS = {
    "add_norm": [_POINTER, _POINTER, _POINTER, _FLOAT, _POINTER, _INT, _INT, _INT],
    "norm_rotate": [*[_POINTER] * 4, _FLOAT, *[_INT] * 5],
    "silu_gate": [_POINTER, _POINTER, _INT, _INT, _INT],
}


@functools.cache
def load_row_ops_library() -> ctypes.CDLL | None:
    """The library of `row_ops.c`; None if this machine cannot build it, for example has no `cc`."""
    try:
        library = ctypes.CDLL(str(_kept_library()))
    except (OSError, subprocess.SubprocessError, ConfigError) as error:
        _log.info("Row operations run in torch, slower, because C cannot be built: %s", error)
        return None
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def _kept_library() -> Path:
    """The file of the library in the cache directory; builds it if it is not there.

    Its name ends with the digest of its content: to load a damaged library could end the process.
    """
    flags = [*_FLAGS, *_instruction_flags()]
    platform_name = f"{platform.system()} {platform.machine()}"
    key = _digest(_SOURCE.read_bytes() + " ".join([platform_name, *flags]).encode())
    directory = cache_directory()
    for path in directory.glob(f"row-ops-{key}-*.so"):
        if path.stem.endswith(_digest(path.read_bytes())):
            return path
    directory.mkdir(parents=True, exist_ok=True)
    # Built beside its place, then renamed: another process sees all of it or nothing.
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        built = Path(temporary) / "row-ops.so"
        command = ["cc", *flags, str(_SOURCE), "-o", str(built), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        path = directory / f"row-ops-{key}-{_digest(built.read_bytes())}.so"
        return built.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


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
