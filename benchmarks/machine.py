"""What the benchmark ran on and with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving.quota import cpu_quota

PACKAGES = (
    "torch", "numpy", "pillow", "kserve", "fastapi", "uvicorn", "grpcio", "litserve", "bentoml",
    "mlserver", "torchserve",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The machine, and the commit that was measured.

    Attributes:
        python: version and build: how an interpreter is built makes a seventh of its speed.
        load_average: of the minute before the run: what else was going on.
        versions: by environment, of the packages that matter.
    """

    processor: str
    cores: float
    memory_bytes: int
    system: str
    python: str
    commit: str
    load_average: float
    versions: dict[str, dict[str, str]]


def describe(folder: Path, environments: Mapping[str, Path]) -> Machine:
    """Look at the machine, the repository in ``folder`` and each environment's packages."""
    return Machine(
        processor=_processor(),
        cores=cpu_quota(),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=" ".join(sys.version.split()),
        commit=commit(folder),
        load_average=os.getloadavg()[0],
        versions={name: _versions(path) for name, path in environments.items()},
    )


def commit(folder: Path) -> str:
    """The commit that is checked out, with ``+`` where files differ from it; or ``unknown``."""
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return "unknown" if not head else head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(environment: Path) -> dict[str, str]:
    found = {}
    for path in environment.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        if name.lower() in PACKAGES:
            found[name.lower()] = version
    return dict(sorted(found.items()))
