"""Joins the process group in which the ranks add up what they have computed."""

import os
import socket
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import torch.distributed as dist

from qstar_infer.errors import ConfigError
from qstar_infer.runner.tensor_parallel.messages import DeviceType

_INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_TIMEOUT = timedelta(minutes=30)
"""Of one operation of the group. Long, because while a model is loaded a rank may wait for another.
Whether a rank has died is seen by its process, and whether a step hangs by the server's watchdog.
"""


def join_process_group(rank: int, *, size: int, store: Path, device_type: DeviceType) -> None:
    """Wait for the other ranks and connect to them; gloo on CPUs, NCCL on GPUs.

    The ranks find each other through a file, not through a port. Their connections use the loopback
    interface, unless `GLOO_SOCKET_IFNAME` or `NCCL_SOCKET_IFNAME` names another.

    Args:
        store: a file that does not exist yet, in a directory of this user alone.
    """
    for name in _INTERFACE_VARIABLES:
        os.environ.setdefault(name, _loopback())
    device = None
    if device_type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    dist.init_process_group(
        "gloo" if device is None else "nccl",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
        device_id=device,
    )


def _loopback() -> str:
    """The name of the interface that only this machine can reach: `lo`."""
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if each.family == socket.AF_INET and each.address == "127.0.0.1":
                return str(name)
    raise ConfigError("no network interface of this machine has the address 127.0.0.1")
