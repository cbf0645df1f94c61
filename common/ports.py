"""TCP ports of the loopback address."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from pathlib import Path

from common.errors import StartError

LOCAL_HOST = "127.0.0.1"

LISTENING = range(20000, 32000)
"""Below the ports that systems give to outgoing connections (from 32768 on Linux): one of those
could be gone between the look and the start of a server."""

LISTENS = "0A"
"""A state of sockets in ``/proc/net/tcp``."""

COMMAND_CHARACTERS = 60


def require_free(port: int, role: str = "") -> None:
    """Raises StartError if nothing can listen on the port.

    Args:
        role: why this port, where it is not the one that was asked for.
    """
    why = f": {role}" if role else ""
    if not 0 < port < 65536:
        raise StartError(f"{port} is not a valid port{why}; choose another with PORT=…")
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL_HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = f"refused: {error.strerror}"
            else:
                reason = f"taken by {holder}" if (holder := port_holder(port)) else "taken"
            raise StartError(f"port {port} is {reason}{why}; choose another with PORT=…") from None


def port_holder(port: int) -> str:
    """The process that listens on a port, as far as Linux tells this user; empty if not."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        # Processes come and go, and those of others may not be looked into.
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                pid = link.parts[2]
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                return f"process {pid} ({command.strip()[:COMMAND_CHARACTERS]})"
    return ""


def free_row(count: int) -> range:
    """That many ports in a row that are free now."""
    while True:
        first = random.choice(LISTENING[:-count])  # noqa: S311
        row = range(first, first + count)
        try:
            for port in row:
                require_free(port)
        except StartError:
            continue
        return row
