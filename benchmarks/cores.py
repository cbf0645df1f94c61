"""The same program on every core at the same time: how a limit without a server is measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from benchmarks.load import ROOT, LoadError
from local.manifest import read_component
from serving.quota import cpu_quota


def on_every_core(command: Sequence[str]) -> list[str]:
    """What each of the processes printed, one process a core.

    Args:
        command: prints ``ready``, waits for a line, then works and prints its result.

    Raises:
        LoadError: it did not start.
    """
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            # glibc's settings above all: the limit should be no lower for want of them.
            env={**os.environ, **read_component("predictor").environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(max(1, round(cpu_quota())))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise LoadError("the program of the limit did not start")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
