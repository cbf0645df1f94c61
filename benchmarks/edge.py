"""What the edge (keys, quotas, metering) adds to a request, and what its check can do.

Measured by ``edge.measure``, in the environment of the accounts.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import ROOT, LoadError
from common.processes import environment_folder

CORE_CHECKS = 3000
CHECK_P99_MS = 3.0
"""What the check was asked to do: so many a second of one core, and so soon."""


@dataclass(frozen=True)
class Edge:
    """Milliseconds of one request at a time, without the edge and through it; the check's loads.

    ``kept`` is by what is kept of a request, ``checks`` by what the check has to do, one entry a
    number of callers at once; ``cost`` is CPU microseconds of a request by process.
    """

    without: dict[str, float]
    through: dict[str, float]
    checks: dict[str, list[dict[str, float]]]
    cost: dict[str, float] = field(default_factory=dict)
    kept: dict[str, dict[str, float]] = field(default_factory=dict)


def measure_edge(quick: bool) -> Edge | None:
    """None where the accounts are not installed.

    Raises:
        LoadError: it could not be measured.
    """
    python = environment_folder("accounts").absolute() / "bin" / "python"
    if not python.exists():
        return None
    command = [str(python), "-m", "edge.measure", "--json"]
    command += ["--requests", "300", "--checks", "1000"] if quick else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"the edge: {done.stderr.strip()[-300:]}")
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Edge(**document)
