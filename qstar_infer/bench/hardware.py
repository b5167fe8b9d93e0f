"""Names of the hardware and the software versions, for reports."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from qstar_infer.hardware import has_fast_bfloat16

_FLAGS = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm", "sve"),
)
"""Instruction sets that the speed of matrix products depends on."""
_SIMULATIONS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
_OPTIONAL_PACKAGES = ("llama-cpp-python", "bitsandbytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a measurement ran on."""

    kind: str
    """Names results files: `avx512-bf16`, `avx2`, ..., or `cuda`."""
    device: str
    """Name of the CPU or GPU."""
    capability: str
    """Vector instructions that torch uses on the CPU."""
    flags: list[str]
    """Instruction sets of the CPU that matter; empty if the system does not tell."""
    cores: int
    threads: int
    simulated: dict[str, str]
    """Environment variables that make this CPU look older."""

    def describe(self) -> str:
        """One line."""
        flags = [flag for flag in self.flags if flag not in ("fma", "f16c")]
        simulated = [f"{name}={value}" for name, value in self.simulated.items()]
        return ", ".join(
            [
                self.device,
                f"{self.threads} threads of {self.cores} cores",
                f"torch uses {self.capability}",
                *([" ".join(flags)] if flags else []),
                *simulated,
            ]
        )


def this_machine(device: torch.device) -> Machine:
    """The machine, as it computes on a device."""
    return Machine(
        kind=machine_kind(device),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        capability=torch.backends.cpu.get_cpu_capability(),
        flags=[flag for flag in _FLAGS if flag in _cpu_flags()],
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        simulated={name: os.environ[name] for name in _SIMULATIONS if name in os.environ},
    )


def machine_kind(device: torch.device) -> str:
    """`avx512-bf16` where the CPU computes bfloat16 fast, else torch's name of what it has."""
    if device.type != "cpu":
        return device.type
    if has_fast_bfloat16(device):
        return "avx512-bf16"
    return torch.backends.cpu.get_cpu_capability().lower()


def load_average() -> float | None:
    """Processes that wanted a CPU in the last minute; None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_device(device: torch.device) -> str:
    """Name of the GPU, or of the CPU with torch's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Versions of the packages that speed depends on; optional ones where they are installed."""
    packages = {name: metadata.version(name) for name in ("qstar", "torch", "transformers")}
    for name in _OPTIONAL_PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version()} | packages


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    return (_cpuinfo("flags") or _cpuinfo("Features")).split()


def _cpuinfo(key: str) -> str:
    """The first line of this key in Linux's list of CPUs; empty if there is none."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""
