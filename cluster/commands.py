"""The tools that do the work, and what to tell a person when one is missing or fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any


class ClusterError(Exception):
    """What a person reads; commands end with status 1."""


def run(*command: str, given: str | None = None, quiet: bool = True) -> str:
    """Standard output of a command.

    Args:
        quiet: False shows the command's output as it comes, and returns nothing of it.

    Raises:
        ClusterError: it is missing, or fails; with what it said.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=quiet, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed") from None
    if done.returncode:
        said = (done.stderr or done.stdout or "").strip()
        raise ClusterError(f"{' '.join(command)}: status {done.returncode}\n{said}".rstrip())
    return done.stdout or ""


def run_again(*command: str, attempts: int = 6, pause_seconds: float = 10) -> str:
    """The same for what fails while a webhook is still starting."""
    for attempt in range(1, attempts + 1):
        try:
            return run(*command)
        except ClusterError as error:
            if attempt == attempts:
                raise
            print(f"    not yet ({str(error).splitlines()[-1]}); again in {pause_seconds:.0f} s")
            time.sleep(pause_seconds)
    raise AssertionError("unreachable")


def read(*command: str) -> Any:
    """A command's JSON."""
    return json.loads(run(*command))


def version(text: str) -> tuple[int, ...]:
    """The first dotted number in a text: ``v1.38.1`` is (1, 38, 1)."""
    found = re.search(r"(\d+(?:\.\d+)+)", text)
    if not found:
        raise ClusterError(f"no version in {text!r}")
    return tuple(int(part) for part in found[1].split("."))


def installed(name: str) -> bool:
    return shutil.which(name) is not None


def dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


ROOT = Path(__file__).parent.parent
