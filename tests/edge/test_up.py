"""``make up`` says what is wrong, starts everything, and stops it on Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from common.errors import StartError
from common.ports import free_row
from edge.processes import envoy_program
from tests.conftest import ROOT
from tests.end_to_end.conftest import call, people
from tests.needs import missing


def up(port: int, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge.up", "--port", str(port)]
    command += ["--database", f"sqlite:///{folder}/accounts.db"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=people(), text=True, stdout=pipe, stderr=pipe)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = up(other.getsockname()[1], tmp_path)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "choose another with PORT=" in said


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    try:
        envoy_program()
    except StartError as error:
        missing("envoy", str(error))
    port = free_row(4).start
    process = up(port, tmp_path)
    assert process.stdout is not None
    try:
        ready = any(line.startswith("Ready") for line in process.stdout)
        assert ready, process.stderr and process.stderr.read()
        assert call(f"http://localhost:{port}/").status == 200
        assert call(f"http://localhost:{port}/v1/models/mnist").status == 401
        assert call(f"http://localhost:{port}/v1/models/mnist:predict", b"{}").status == 422
    finally:
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    assert rest.endswith("stopped\n")
    deadline = time.monotonic() + 5
    for number in (port, port + 1, port + 2):
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", number)) == 0:
                assert time.monotonic() < deadline, f"{number} still answers"
