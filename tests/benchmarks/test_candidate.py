"""Starting and stopping programs; the programs here are a few lines of Python."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.answers import Expected
from benchmarks.candidate import Candidate, CandidateError, Program, Running
from benchmarks.load import Question, closed_loop
from benchmarks.networks import Network
from local.service import free_ports

SERVER = """
import http.server, json, subprocess, sys
port, class_id = int(sys.argv[1]), int(sys.argv[2])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[3], "w").write(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps([{"class_id": class_id, "probability": 1.0}]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
QUESTION = Question(json.dumps({"instances": []}).encode(), (Expected(3, 1.0),))


def candidate(folder: Path, code: str = SERVER, class_id: int = 3) -> Candidate:
    def programs(network: Network, question: Question) -> list[Program]:
        port = free_ports().http
        command = [sys.executable, "-c", code, str(port), str(class_id), str(folder / "child")]
        return [Program("server", command, folder, port, "/predict", question)]

    return Candidate("fake", "a fake", "one process", "/predict", programs, ("1",))


def running(found: Candidate, folder: Path) -> Running:
    programs = found.programs(Network(folder, "1"), QUESTION)
    return Running(found, programs, folder / "logs")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_start_is_measured_to_the_first_right_answer_and_nothing_is_left(tmp_path: Path) -> None:
    with running(candidate(tmp_path), tmp_path) as started:
        assert 0 < started.start_seconds["server"] < 10
        result = closed_loop(started.target, [QUESTION], 1, 0.2, 0.0)
        assert result.right > 0
        assert result.faults == 0
        pids = [started.pids["server"], int((tmp_path / "child").read_text())]
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in pids if alive(pid)]


def test_a_program_that_ends_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(CandidateError, match="a fake: the server ended with 3: no such thing"),
        running(candidate(tmp_path, "import sys; print('no such thing'); sys.exit(3)"), tmp_path),
    ):
        pass


def test_a_wrong_first_answer_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.candidate.START_SECONDS", 1.5)
    with (
        pytest.raises(CandidateError, match=r"answered .*class_id.* after"),
        running(candidate(tmp_path, class_id=4), tmp_path),
    ):
        pass
