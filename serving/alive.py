"""A liveness probe for a server whose one declared port is gRPC: ``python -I -S alive.py PORT``.

Knative sends a liveness probe over HTTP to the port that a container declares, whatever the probe
says, and the predictor declares its gRPC port: the answer would be taken for a failure and the
server be killed. So the container asks itself. Run as a file, without site-packages, it takes some
20 ms of a processor.
"""

import socket
import sys

PATH = "/v2/health/live"
TIMEOUT_SECONDS = 4


def alive(port: int) -> bool:
    """Whether the server on this port of this machine says that it lives."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not alive(int(sys.argv[1])))
