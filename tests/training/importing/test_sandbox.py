from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from training.importing.errors import SandboxError
from training.importing.sandbox import Bounds, missing, run_confined
from training.importing.sandbox import process as module
from training.importing.sandbox.process import printable, read_file

pytestmark = pytest.mark.slow  # each starts a process

HERE = Path(__file__).parent


def run(name: str, tmp_path: Path, bounds: Bounds | None = None, confined: bool = True) -> dict:
    request = {"outside": str(tmp_path), "port": 9}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        request["port"] = listener.getsockname()[1]
        with run_confined(
            f"malice:{name}", request, [], bounds or Bounds(), confined, code=HERE
        ) as (out, report):
            assert not confined or (out / "allowed").exists()
            return report


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "kept").write_text("secret")
    return tmp_path


def test_nothing_can_be_confined_halfway() -> None:
    assert missing() is None


def test_a_stranger_reaches_nothing_outside(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_TOKEN", "x")
    report = run("attempts", outside)
    assert {k: v for k, v in report["tried"].items() if v == "done"} == {}
    assert len(report["tried"]) == 16
    assert (outside / "kept").read_text() == "secret"
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert "A_SECRET_TOKEN" not in report["environment"]


def test_the_same_attempts_succeed_without_the_sandbox(outside: Path) -> None:
    tried = run("attempts", outside, confined=False)["tried"]
    assert tried["write outside"] == tried["run a program"] == tried["call out by TCP"] == "done"


def test_time_is_bounded(outside: Path) -> None:
    start = time.monotonic()
    with pytest.raises(SandboxError, match=r"longer than 3 s \(--seconds\)"):
        run("endless", outside, Bounds(seconds=3))
    assert time.monotonic() - start < 20


def test_memory_is_bounded(outside: Path) -> None:
    with pytest.raises(SandboxError, match=r"more than 4 GB of memory \(--memory-gb\)"):
        run("greedy", outside, Bounds(memory_gigabytes=4))


def test_a_process_that_says_nothing_is_an_error(outside: Path) -> None:
    with pytest.raises(SandboxError, match="ended with status 3"):
        run("quiet", outside)


def test_what_it_says_cannot_reach_the_terminal(outside: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        run("rude", outside)
    assert "it broke" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "\x07" not in printable("a\x07b\nc")


def test_where_nothing_can_be_confined_nothing_is_opened(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "missing", lambda: "this is another system")
    with pytest.raises(SandboxError, match=r"another system. --without-sandbox"):
        run("attempts", outside)


def test_a_link_is_no_file_of_the_process(outside: Path) -> None:
    (outside / "link").symlink_to(outside / "kept")
    with pytest.raises(OSError):
        read_file(outside / "link")
