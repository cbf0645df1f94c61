"""Peak memory of a piece of code, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

PRELUDE = """
from pathlib import Path

def field(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
"""
BEFORE = """
Path("/proc/self/clear_refs").write_text("5")
_before = field("VmRSS:")
"""
AFTER = """
print(field("VmHWM:") - _before)
"""


def peak_growth(setup: str, measured: str) -> float:
    """Mebibytes by which ``measured`` raised the process's peak above what ``setup`` left it at."""
    code = PRELUDE + setup + BEFORE + measured + AFTER
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])
