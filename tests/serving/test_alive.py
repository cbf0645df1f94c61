from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from local.service import free_ports
from serving import alive
from tests.conftest import ROOT


class Health(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v2/health/live" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_server_that_lives(port: int) -> None:
    assert alive.alive(port)


def test_one_that_says_no(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Health, "status", 503)
    assert not alive.alive(port)


def test_one_that_is_not_there() -> None:
    assert not alive.alive(free_ports().http)


def test_one_that_takes_connections_and_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "TIMEOUT_SECONDS", 0.05)
    with alive.socket.create_server(("127.0.0.1", 0)) as silent:
        assert not alive.alive(silent.getsockname()[1])


def test_as_the_manifest_runs_it(port: int) -> None:
    command = [sys.executable, "-I", "-S", "serving/alive.py"]
    for number, status in ((port, 0), (free_ports().http, 1)):
        done = subprocess.run([*command, str(number)], cwd=ROOT, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (status, b"")
