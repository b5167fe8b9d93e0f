"""Names of the hardware and the software versions, for reports."""

import platform
from importlib import metadata
from pathlib import Path

import torch


def describe_device(device: torch.device) -> str:
    """Name of the GPU, or of the CPU with torch's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Versions of the packages that speed depends on."""
    packages = ("qstar", "torch", "transformers")
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
