"""Start the confined process, bound its time, and take its answer as a stranger's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.importing.errors import ImportRefusedError, SandboxError
from training.importing.sandbox.confinement import Bounds, missing

ROOT = Path(__file__).parents[3]
REPORT = "report.json"
LOG = "log.txt"
LAST_LINES = 12
KEPT_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "LD_LIBRARY_PATH")
"""Of this process's environment: how libraries compute and are found, and no more."""


@contextmanager
def run_confined(
    call: str,
    request: Mapping[str, Any],
    readable: Sequence[Path],
    bounds: Bounds,
    confined: bool = True,
    code: Path | None = None,
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Call ``module:function`` with ``request`` in a process of its own.

    The function is given the folder that it may write to, which is empty, and the request.

    Args:
        readable: files and folders that it may read, beside Python's own.
        confined: False gives it all the rights that this process has.
        code: a folder that it may import from.

    Yields:
        That folder, which is removed afterwards, and what the function returned.

    Raises:
        ImportRefusedError: it refused, in its own words.
        SandboxError: it cannot be confined here, took too much time or memory, or ended otherwise.
    """
    if confined and (reason := missing()):
        raise SandboxError(
            f"what may be code is not opened, since it cannot be confined here: {reason}. "
            "--without-sandbox opens it with all your rights: only for files that you made yourself"
        )
    with tempfile.TemporaryDirectory(prefix="vision-import-") as name:
        folder = Path(name)
        out = folder / "out"
        out.mkdir()
        order = {
            "call": call,
            "request": request,
            "out": str(out),
            "readable": [str(path) for path in readable],
            "bounds": asdict(bounds),
            "confined": confined,
            "code": str(code) if code else None,
        }
        status = _run(order, out, folder / LOG, bounds)
        report = _read_report(out / REPORT)
        if report is None:
            raise SandboxError(_why(status, folder / LOG, bounds))
        if "refused" in report:
            raise ImportRefusedError(printable(str(report["refused"])))
        yield out, report


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def _run(order: Mapping[str, Any], out: Path, log: Path, bounds: Bounds) -> int | None:
    """The exit status; None where it took too long."""
    temporary = out / "tmp"
    temporary.mkdir()
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {
        "PATH": os.defpath,
        "HOME": str(out),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        # Threads that wait for each other sleep: elsewhere there may be a server to be fast.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    command = [sys.executable, "-m", "training.importing.sandbox.inside"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=out,
            env=environment,
            # No terminal, whose input a program could write.
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(order).encode(), timeout=bounds.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return process.returncode


def _read_report(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_file(path: Path) -> bytes:
    """A file that the process wrote; a link to another is none.

    Raises:
        OSError: it is not there, or a link.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
        return opened.read()


def _why(status: int | None, log: Path, bounds: Bounds) -> str:
    if status is None:
        return f"it took longer than {bounds.seconds:.0f} s (--seconds), and was stopped"
    text = log.read_bytes()[-1 << 16 :].decode(errors="replace")
    if "MemoryError" in text or "bad_alloc" in text or "can't allocate memory" in text:
        return f"it needs more than {bounds.memory_gigabytes:g} GB of memory (--memory-gb)"
    ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = "\n".join(printable(text).rstrip().splitlines()[-LAST_LINES:])
    return f"the process that opened it {ended}:\n{last}"
