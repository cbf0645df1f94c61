"""What a file of a stranger's might try, with harmless marks. Imported by the confined process."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any


def attempts(out: Path, request: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Each attempt by name: ``done``, or why not."""
    outside, parent = Path(request["outside"]), os.getppid()
    tried: dict[str, Callable[[], Any]] = {
        "write outside": lambda: (outside / "mark").write_text("x"),
        "change a file outside": lambda: (outside / "kept").write_text("x"),
        "empty a file outside": lambda: os.truncate(outside / "kept", 0),
        "remove a file outside": (outside / "kept").unlink,
        "make a file outside writable": lambda: (outside / "kept").chmod(0o777),
        "date a file outside": lambda: os.utime(outside / "kept"),
        "read a secret": (outside / "kept").read_text,
        "list a home": lambda: os.listdir(Path.home().parent / "root"),
        "link to a secret": lambda: (out / "weights.safetensors").symlink_to(outside / "kept"),
        "read another's environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "call out by TCP": lambda: socket.create_connection(("127.0.0.1", request["port"]), 1),
        "call out by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "call a socket of the machine": lambda: socket.socket(socket.AF_UNIX),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "become two": os.fork,
        "signal another": lambda: os.kill(parent, 0),
    }
    found = {"environment": dict(os.environ)}
    found["tried"] = {name: _outcome(attempt) for name, attempt in tried.items()}
    (out / "allowed").write_text("x")
    return found


def endless(out: Path, request: dict[str, Any]) -> dict[str, Any]:
    while True:
        pass


def greedy(out: Path, request: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": len(bytearray(8 << 30))}


def quiet(out: Path, request: dict[str, Any]) -> dict[str, Any]:
    os._exit(3)


def rude(out: Path, request: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("\x1b]0;owned\x07 it broke")


def _outcome(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
    return "done"
