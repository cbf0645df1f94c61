"""CPU time and memory of process trees and of the whole machine, from ``/proc``.

Standard library only: the load generator reads these too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """Of a process tree, in bytes.

    Attributes:
        resident: the sum of what each process has in memory; shared pages count in each.
        proportional: the same with every shared page divided among those that share it.
    """

    resident: int
    proportional: int


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all their living descendants; those that have ended are left out."""
    found: list[int] = []
    pending = list(roots)
    while pending:
        pid = pending.pop()
        if pid in found:
            continue
        try:
            tasks = list((PROC / str(pid) / "task").iterdir())
            children = [(task / "children").read_text().split() for task in tasks]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(pid)
        pending += [int(child) for part in children for child in part]
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the trees so far, with that of children that have ended."""
    ticks = 0
    for pid in tree(roots):
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name in parentheses may hold blanks; what follows is utime, stime, cutime, cstime.
        ticks += sum(int(value) for value in stat.rpartition(")")[2].split()[11:15])
    return ticks / TICKS_A_SECOND


def memory(roots: Iterable[int]) -> Memory:
    """What the trees have in memory now."""
    resident = proportional = 0
    for pid in tree(roots):
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        resident += int(sizes["Rss"]) * 1024
        proportional += int(sizes["Pss"]) * 1024
    return Memory(resident, proportional)


def machine_busy_seconds() -> float:
    """CPU time that everything on this machine has used, and what its host took from it."""
    fields = [int(value) for value in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICKS_A_SECOND
