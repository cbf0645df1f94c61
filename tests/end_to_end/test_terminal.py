"""``make run`` on a terminal: what it prints, and that nothing of it outlives it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.ports import free_row
from common.processes import listens
from tests.conftest import ROOT
from tests.end_to_end.conftest import call, people
from tests.waiting import wait_until


class Terminal:
    """A command whose controlling terminal this is.

    Attributes:
        shown: all that it printed so far.
    """

    def __init__(self, *command: str) -> None:
        self.shown = ""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Tests may run under nohup.
            os.chdir(ROOT)
            os.execvpe(command[0], command, people())

    def wait_for(self, text: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, self.shown
            self._read()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        """As a window is closed."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def wait(self, seconds: float = 40) -> int:
        """The exit status, or the negative signal, once the command has ended."""
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, self.shown
            if self._master >= 0:
                self._read()
            else:
                time.sleep(0.05)

    def _read(self) -> None:
        if select.select([self._master], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):  # The other end is closed.
                self.shown += os.read(self._master, 65536).decode(errors="replace")


@pytest.fixture
def port() -> int:
    return free_row(2).start


@pytest.fixture
def terminal(port: int) -> Iterator[Terminal]:
    opened = Terminal("make", "run", f"PORT={port}")
    try:
        yield opened
    finally:
        opened.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(opened.pid, signal.SIGKILL)
            os.waitpid(opened.pid, 0)
        wait_until(lambda: nothing_left(port), 40)


def nothing_left(port: int) -> bool:
    """Whether no process runs that was started for these ports, and nobody listens on them."""
    marks = (f"--port={port}", f"--port\0{port}", f"http_port={port}", f"http_port={port + 1}")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if any(mark in path.read_text(errors="replace") for mark in marks):
                return False
    return not listens(port) and not listens(port + 1)


def test_a_terminal_is_shown_lines_for_people(terminal: Terminal, port: int) -> None:
    terminal.wait_for("Ctrl-C stops it")
    lines = terminal.shown.splitlines()
    assert f"Ready: http://localhost:{port}" in lines
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d serving: serving .*mnist.*", line) for line in lines)
    assert not any(line.startswith("{") for line in lines)
    browser = {"accept": "text/html,*/*;q=0.8"}
    page = call(f"http://localhost:{port}/", headers=browser)
    assert b"/v1/models/mnist:predict" in page.body
    assert call(f"http://localhost:{port}/docs", headers=browser).status == 200
    url = f"http://localhost:{port}/v1/models/mnist:predict"
    picture = (ROOT / "samples" / "seven.png").read_bytes()
    for body, kind, status in ((picture, "image/png", 200), (b"{}", "application/json", 422)):
        answer = call(url, body, kind)
        assert answer.status == status
        assert answer.body.endswith(b"}\n")
    terminal.type("\x03")
    terminal.wait()
    assert "stopped" in terminal.shown
    assert nothing_left(port)


def test_ctrl_c_twice_leaves_nothing_running(terminal: Terminal, port: int) -> None:
    terminal.wait_for("Ctrl-C stops it")
    terminal.type("\x03")
    time.sleep(0.05)
    terminal.type("\x03")
    terminal.wait()
    wait_until(lambda: nothing_left(port), 20)


def test_a_closed_terminal_with_a_shell_leaves_nothing_running(port: int) -> None:
    """The shell is told and tells its jobs; without one, only make is told."""
    shell = Terminal("bash", "--norc", "-i")
    shell.type(f"make run PORT={port}\n")
    shell.wait_for("Ctrl-C stops it")
    shell.close()
    shell.wait()
    wait_until(lambda: nothing_left(port), 40)


def test_a_closed_terminal_leaves_nothing_running(terminal: Terminal, port: int) -> None:
    terminal.wait_for("Ctrl-C stops it")
    terminal.close()
    wait_until(lambda: nothing_left(port), 40)


def test_a_terminal_that_is_closed_while_starting_leaves_nothing_running(
    terminal: Terminal, port: int
) -> None:
    wait_until(lambda: not nothing_left(port), 30)
    time.sleep(0.5)
    terminal.close()
    wait_until(lambda: nothing_left(port), 40)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_of_make_leaves_nothing_running(
    terminal: Terminal, port: int, number: signal.Signals
) -> None:
    terminal.wait_for("Ctrl-C stops it")
    os.kill(terminal.pid, number)
    assert terminal.wait() != 0
    wait_until(lambda: nothing_left(port), 40)
