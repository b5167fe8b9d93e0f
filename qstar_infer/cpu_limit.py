"""How many CPUs this process may use. Containers limit CPU time, which torch does not see."""

import os
from collections.abc import Iterator
from pathlib import Path


def cpu_limit() -> int:
    """CPUs by affinity and by the quota of the control groups, rounded down; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = quota_cpus(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def quota_cpus(membership: Path, root: Path) -> float | None:
    """Seconds of CPU time per second that the control groups allow; None without a limit.

    Args:
        membership: names the process's groups, as `/proc/self/cgroup` does.
        root: where the groups are mounted. In a container it may be the process's own group.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return None
    quotas = [quota for line in lines for group in _groups(line, root) for quota in _quota(group)]
    return min(quotas, default=None)


def _groups(line: str, root: Path) -> Iterator[Path]:
    """The directories of the group that a line names, and of those around it."""
    _, controllers, name = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    mount = root / "cpu" if controllers else root  # version 1, version 2
    group = mount / name.strip("/")
    yield group
    for parent in group.parents:
        if not parent.is_relative_to(mount):
            return
        yield parent


def _quota(group: Path) -> Iterator[float]:
    """The group's own limit, if it has one."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):  # no such group here, or no limit
        return
