"""Where the CPU time of one request goes: py-spy on each process while it is under load.

py-spy samples from outside, so the servers run as they always do. Time inside compiled code
counts for the Python function that called it.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.candidate import Running
from benchmarks.load import closed_loop
from benchmarks.measure import USERS
from benchmarks.peers.registry import environment_folder
from benchmarks.processes import PROC, cpu_seconds, tree
from benchmarks.questions import Known, questions
from benchmarks.results import Profile

ENVIRONMENT = "profile"
SAMPLES_A_SECOND = 200
FUNCTIONS = 12
OWN = ("artifact", "serving", "transformer", "predictor")


def profiler() -> Path | None:
    """py-spy, if it is installed."""
    path = environment_folder(ENVIRONMENT) / "bin" / "py-spy"
    return path if path.exists() else None


def measure_profiles(
    running: Running, known: Sequence[Known], seconds: float, folder: Path
) -> list[Profile]:
    """Profiles of transformer and predictor at 64 connections.

    Args:
        folder: gets each profile as collapsed stacks, which flame graph viewers read.
    """
    spy = profiler()
    if spy is None:
        return []
    asked = questions(known, body=running.candidate.body)
    pids = _servers(list(running.pids.values()))
    before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
    plain = closed_loop(running.target, asked, USERS, seconds, 0.0)
    used = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
    stacks: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="profile-") as name:
        load = threading.Thread(
            target=closed_loop, args=(running.target, asked, USERS, seconds + 1.5, 0.0)
        )
        load.start()
        recorders = {
            server: subprocess.Popen(
                [
                    *(str(spy), "record", "--pid", str(pid), "--format", "raw"),
                    *("--rate", str(SAMPLES_A_SECOND), "--duration", str(max(1, round(seconds)))),
                    *("--nonblocking", "--output", str(Path(name) / server)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for server, pid in pids.items()
        }
        for server, recorder in recorders.items():
            recorder.wait(seconds + 30)
            path = Path(name) / server
            stacks[server] = path.read_text(encoding="utf-8") if path.exists() else ""
        load.join()
    profiles = []
    folder.mkdir(parents=True, exist_ok=True)
    for server, text in stacks.items():
        if text:
            target = folder / f"profile-{running.candidate.name}-{server}.txt"
            target.write_text(text, encoding="utf-8")
            shares, functions = summarise(text)
            cost = used[server] / max(1, plain.images) * 1e6
            profiles.append(Profile(running.candidate.name, server, cost, shares, functions))
    return profiles


def summarise(stacks: str) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of the samples by package, and by function for the heaviest ones.

    Args:
        stacks: a line a stack, ``outer (file:line);inner (file:line) count``.
    """
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        function, _, place = frames.split(";")[-1].partition(" (")
        file = place.rpartition(":")[0]
        packages[package_of(file)] += int(count)
        functions[f"{function} ({file})"] += int(count)
    total = max(1, packages.total())
    return (
        {name: count / total for name, count in packages.most_common()},
        {name: count / total for name, count in functions.most_common(FUNCTIONS)},
    )


def package_of(file: str) -> str:
    """The package or module that a file belongs to, as ``asyncio`` or ``PIL``.

    Args:
        file: as py-spy names it: relative to the import path where it can.
    """
    _, separator, rest = file.rpartition("site-packages/")
    parts = (rest if separator else file).lstrip("/").split("/")
    if not separator and file.startswith("/"):
        parts = [part for part in parts if part in OWN] or parts[-1:]
    return parts[0].removesuffix(".py")


def _servers(roots: list[int]) -> dict[str, int]:
    """Transformer and predictor among the processes and their descendants."""
    found = {}
    for pid in tree(roots):
        command = (PROC / str(pid) / "cmdline").read_bytes().decode().split("\0")
        for name in ("transformer", "predictor"):
            if command[1:3] == ["-m", name]:
                found[name] = pid
    return found
