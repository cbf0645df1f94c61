"""What people type, and what they are told when it cannot work."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.ports import free_row
from common.processes import answers
from local.service import LocalService, free_ports
from tests.conftest import ROOT
from tests.end_to_end.conftest import people


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**people(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_every_target() -> None:
    text = make("help").stdout
    for target in (
        *("run", "predict", "evaluate", "train", "test", "lint"),
        *("cluster", "images", "render", "deploy", "predict-cluster", "undeploy"),
        "cluster-delete",
    ):
        assert f"make {target} " in text


def test_predict_prints_a_table(service: LocalService) -> None:
    done = make("predict", "IMAGE=samples/seven.png", "MODEL=mnist", f"PORT={service.ports.http}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "mnist, revision 2"
    assert lines[1].split()[0] == "7"
    assert lines[1].split()[1].endswith("%")


def test_predict_without_a_service_says_what_to_do() -> None:
    port = free_ports().http
    done = make("predict", "IMAGE=samples/seven.png", f"PORT={port}")
    assert done.returncode != 0
    assert "is `make run` running" in done.stderr


def test_predict_of_a_missing_file_names_it(service: LocalService) -> None:
    done = make("predict", "IMAGE=nowhere.png", f"PORT={service.ports.http}")
    assert "nowhere.png: No such file or directory" in done.stderr


def test_taken_port_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = make("run", f"PORT={port}")
    assert done.returncode != 0
    assert re.search(
        rf"port {port} is taken by process \d+ \(.*\); choose another with PORT=", done.stderr
    )
    assert "Traceback" not in done.stderr


def test_missing_revision_is_named() -> None:
    done = make("run", f"PORT={free_row(3).start}", "REVISIONS=mnist=77")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert line.startswith(
        "run: REVISIONS (--model) mnist=77: revision '77' of mnist not found in "
    )
    assert line.endswith("; available: 1, 2")
    assert done.stdout == ""


def test_a_service_that_is_not_there_is_named_with_those_that_are() -> None:
    done = make("run", "SERVICE=nosuch")
    assert done.returncode != 0
    assert "run: SERVICE=nosuch (--service) not found; available: " in done.stderr
    assert "land-cover" in done.stderr


def test_a_picture_s_name_may_have_a_space(service: LocalService, tmp_path: Path) -> None:
    picture = tmp_path / "sp ace.png"
    shutil.copy(ROOT / "samples" / "seven.png", picture)
    done = make("predict", f"IMAGE={picture}", f"PORT={service.ports.http}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[0] == "7"


def test_missing_python_is_named(tmp_path: Path) -> None:
    done = make("run", "PYTHON=python9.99", VENVS=str(tmp_path))
    assert done.returncode != 0
    assert "python9.99 is missing: install Python 3.10 or newer" in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_run_stops_both_servers(number: signal.Signals, tmp_path: Path) -> None:
    port = free_row(3).start
    log = tmp_path / "run.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "local", "--port", str(port)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while b"Ctrl-C stops it" not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            assert running.poll() is None, log.read_text()
            time.sleep(0.1)
        assert answers(f"http://127.0.0.1:{port}/v2/health/ready")
        running.send_signal(number)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()
    for used in (port, port + 1):
        assert not answers(f"http://127.0.0.1:{used}/v2/health/ready")
    assert b"stopped" in log.read_bytes()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_committed_file_is_large() -> None:
    """Weights and programs that are shipped may have 16 MB, everything else 5."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        path = ROOT / name
        if path.exists():
            most = 16_000_000 if path.suffix in (".safetensors", ".onnx") else 5_000_000
            assert path.stat().st_size < most, name
