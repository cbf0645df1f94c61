"""``python -m lifecycle.receiver``: a look at the inbox for every notification of a bucket.

Takes CloudEvents in both of HTTP's modes and whatever else is posted: an event is a reason to look,
and nothing in it is believed. So deliveries may repeat, come late, or be forged.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common.kubernetes import KubernetesError
from common.logs import configure_logging
from common.settings import SettingError
from lifecycle.launch import connected
from registry.errors import RegistryError

MOST_BYTES = 1 << 20
QUIET_SECONDS = 5.0
"""After an event, before the look: a part of many files comes as many events."""

logger = logging.getLogger("lifecycle")


class Looker:
    """One look at a time, and one after the last event."""

    def __init__(self, look: Callable[[], object], quiet_seconds: float) -> None:
        self._look = look
        self._quiet_seconds = quiet_seconds
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def want(self) -> None:
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            while self._wanted.is_set():
                self._wanted.clear()
                self._wanted.wait(self._quiet_seconds)
            try:
                logger.info("looked: %s", self._look())
            except (KubernetesError, RegistryError, OSError) as error:
                logger.warning("the look failed, the next poll does it: %s", error)


def server(address: tuple[str, int], looker: Looker) -> ThreadingHTTPServer:
    """Answers ``POST /`` by 202 at once, and ``GET /healthz``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                self._answer(411)
            elif int(length) > MOST_BYTES:
                self._answer(413)
            else:
                self.rfile.read(int(length))
                logger.info("event %s", self.headers.get("ce-id", "without an id")[:100])
                looker.want()
                self._answer(202)

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/healthz" else 404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Not as http.server does."""

    return ThreadingHTTPServer(address, Handler)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lifecycle.receiver", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--models", type=Path, default=Path("/opt/models"))
    options = parser.parse_args(arguments)
    configure_logging("INFO")
    try:
        launcher = connected(os.environ, options.models)
    except (KubernetesError, RegistryError, SettingError) as error:
        print(f"receiver: {error}", file=sys.stderr)
        return 1
    with server((options.host, options.port), Looker(launcher.look, QUIET_SECONDS)) as running:
        running.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
