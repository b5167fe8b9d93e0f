"""The limits of containers, which torch's default number of threads ignores."""

import os
from pathlib import Path

import pytest

from qstar_infer.cpu_limit import cpu_limit, quota_cpus


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        # the tightest of the groups around a process
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "200000 100000\n"}, 0.5),
        # in a container without a namespace of its own, the path is that of the host
        ("0::/docker/4f\n", {"cpu.max": "300000 100000\n"}, 3.0),
        # version 1
        (
            "4:memory:/x\n2:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "400000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            4.0,
        ),
        (
            "2:cpu,cpuacct:/x\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("2:cpuset:/\n", {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_quota_of_the_control_groups(
    tmp_path: Path, membership: str, files: dict[str, str], cpus: float | None
) -> None:
    write(tmp_path / "cgroup", membership)
    for name, text in files.items():
        write(tmp_path / "root" / name, text)
    assert quota_cpus(tmp_path / "cgroup", tmp_path / "root") == cpus


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota_cpus(tmp_path / "nothing", tmp_path) is None


def test_affinity_is_a_limit_too() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpu_limit() == 1
    finally:
        os.sched_setaffinity(0, before)
