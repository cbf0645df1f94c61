"""TCP ports of the loopback address."""

from __future__ import annotations

import errno
import random
import socket

from common.errors import StartError

LOCAL_HOST = "127.0.0.1"

LISTENING = range(20000, 32000)
"""Below the ports that systems give to outgoing connections (from 32768 on Linux): one of those
could be gone between the look and the start of a server."""


def require_free(port: int, name: str = "") -> None:
    """Raises StartError if nothing can listen on the port.

    Args:
        name: how the port was chosen, for the message: ``PORT``, or ``PORT + 1, the predictor's``.
    """
    shown = f"port {port} ({name})" if name else f"port {port}"
    if not 0 < port < 65536:
        raise StartError(f"{shown} is not a valid port; choose another PORT")
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL_HOST, port))
        except OSError as error:
            reason = "taken" if error.errno == errno.EADDRINUSE else f"refused: {error.strerror}"
            raise StartError(f"{shown} is {reason}; choose another with PORT=…") from None


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
