"""The processors and the memory that this process may really use."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpu_quota(cgroup: Path = CGROUP) -> float:
    """Cores: the least of the machine's, the affinity mask's and the cgroup's quota.

    Reads cgroup v2 and v1; inside a container either is mounted at ``/sys/fs/cgroup``.
    """
    cores = float(len(os.sched_getaffinity(0)))
    quota = _version_two(cgroup) or _version_one(cgroup)
    return min(cores, quota) if quota else cores


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes: the lesser of the machine's memory and the cgroup's limit (v2 or v1)."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(machine, int((cgroup / file).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return machine


def memory_used() -> int:
    """Bytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back_freed() -> None:
    """Return to the system what has been freed, which glibc keeps else; see malloc_trim(3)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _version_two(cgroup: Path) -> float | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _version_one(cgroup: Path) -> float | None:
    for folder in ("cpu,cpuacct", "cpu"):
        try:
            quota = int((cgroup / folder / "cpu.cfs_quota_us").read_text())
            period = int((cgroup / folder / "cpu.cfs_period_us").read_text())
        except (OSError, ValueError):
            continue
        return quota / period if quota > 0 else None
    return None
