"""What a stranger sends takes neither the console's memory nor its threads."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.console.conftest import sqlite_template  # noqa: F401
from tests.end_to_end.conftest import call

MIB = 1 << 20
ALLOWED_GROWTH = 20 * MIB


@dataclass(frozen=True)
class Console:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,  # noqa: F811
) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    shutil.copy(sqlite_template, folder / "accounts.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "VISION_DATABASE_URL": f"sqlite:///{folder}/accounts.db",
        "VISION_DEVELOPMENT": "true",
    }
    command = [sys.executable, "-m", "console", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Console(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def send_raw(console: Console, head: bytes, piece: bytes, count: int) -> bytes:
    """The first line of the answer to a head and ``count`` pieces of a body, as far as it goes."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as connection:
        try:
            connection.sendall(head)
            for _ in range(count):
                connection.sendall(piece)
        except OSError:
            # It answers before it has read everything, and closes.
            pass
        try:
            return connection.recv(4096).partition(b"\r\n")[0]
        except OSError:
            return b""


def status(line: bytes) -> str:
    """Empty where the connection was reset before the answer was read."""
    return line.decode().split(" ")[1] if line else ""


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/register", "/login", "/nothing"])
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_refused_before_it_is_kept(
    console: Console, path: str, content_type: str, chunked: bool
) -> None:
    before = console.resident_bytes()
    length = "transfer-encoding: chunked" if chunked else f"content-length: {100 * MIB}"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n{length}\r\n\r\n"
    piece = b"a" * MIB
    if chunked:
        piece = b"100000\r\n" + piece + b"\r\n"
    assert status(send_raw(console, head.encode(), piece, 100)) in ("413", "")
    assert console.resident_bytes() - before < ALLOWED_GROWTH


def test_a_body_up_to_the_limit_is_read(console: Console) -> None:
    answer = call(f"{console.url}/api/v1/sessions", b" " * 64_000 + b"{}")
    assert answer.status == 400
    answer = call(f"{console.url}/api/v1/sessions", b" " * 65_536 + b"{}")
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert "content-security-policy" in answer.headers


def test_headers_without_end_are_refused(console: Console) -> None:
    before = console.resident_bytes()
    head = b"GET / HTTP/1.1\r\nhost: x\r\nx-long: "
    assert status(send_raw(console, head, b"a" * MIB, 60)) in ("400", "")
    assert console.resident_bytes() - before < ALLOWED_GROWTH


def test_half_sent_bodies_hold_no_thread(console: Console) -> None:
    head = b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\na"
    waiting = [socket.create_connection(("127.0.0.1", console.port)) for _ in range(100)]
    try:
        for connection in waiting:
            connection.sendall(head)
        assert call(f"{console.url}/login").status == 200
        # Answered while they wait, not after they were given up.
        assert select.select(waiting, [], [], 0)[0] == []
    finally:
        for connection in waiting:
            connection.close()
