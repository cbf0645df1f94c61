"""Ends the processes of a supervisor that was killed.

Run by ``common.processes`` as a script, with a pipe as its standard input: the supervisor writes
the number of every process group that it starts, and its negative once that has ended. At the
pipe's end the supervisor is gone: what is left is told to stop, and killed where it does not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

STOP_SECONDS = 20.0
"""Longer than a supervisor waits: a supervisor among these must be able to end its own first."""


def end(groups: list[int]) -> None:
    """Stop the process groups, the last started first, and kill what does not stop."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in reversed(groups):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        deadline = time.monotonic() + STOP_SECONDS
        while (groups := [group for group in groups if alive(group)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.05)


def alive(group: int) -> bool:
    """Whether the group has a process."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    running: list[int] = []
    for line in sys.stdin:
        if (number := int(line)) > 0:
            running.append(number)
        elif -number in running:
            running.remove(-number)
    end(running)
