"""Nothing that a supervisor started outlives it, however it ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from common.errors import StartError
from common.ports import free_row
from common.processes import ROOT, Processes
from tests.waiting import wait_until

SLEEPER = ["sh", "-c", "sleep 300 & wait"]
STUBBORN = [
    sys.executable,
    "-c",
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    r" os.write(1, b'on\n'); time.sleep(300)",
]
SUPERVISOR = """
import signal, sys, time
from common.processes import Processes, interruptible
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Tests may run under nohup.
with interruptible():
    try:
        with Processes() as processes:
            for name in ("first", "second"):
                processes.start(name, {command!r}, {{}})
                print(processes.pid(name), flush=True)
            while True:  # A signal between two instructions does not end a sleep.
                time.sleep(0.1)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def in_group(group: int) -> list[int]:
    """The processes of a process group that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def supervisor(command: list[str]) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that supervises two others, and the groups of those."""
    text = textwrap.dedent(SUPERVISOR).format(command=command)
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(4 if command is STUBBORN else 2)]
    return process, [int(line) for line in lines if line != "on"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_in_order(number: signal.Signals) -> None:
    process, groups = supervisor(SLEEPER)
    with process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0
    assert not any(alive(group) for group in groups)


def test_a_second_interrupt_kills_what_does_not_stop() -> None:
    process, groups = supervisor(STUBBORN)
    with process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert all(alive(group) for group in groups)
        process.send_signal(signal.SIGINT)
        # It would wait for STOP_SECONDS, twice.
        assert process.wait(10) == 0
    assert not any(alive(group) for group in groups)


def test_a_killed_supervisor_leaves_nothing_running() -> None:
    process, groups = supervisor(SLEEPER)
    with process:
        assert all(in_group(group) for group in groups)
        process.kill()
    wait_until(lambda: not any(in_group(group) for group in groups), 10)


def test_a_supervisor_of_supervisors_leaves_nothing_running() -> None:
    inner = textwrap.dedent(SUPERVISOR).format(command=SLEEPER)
    process, groups = supervisor([sys.executable, "-c", inner])
    with process:
        children = [int(process.stdout.readline()) for _ in range(4)] if process.stdout else []
        assert all(alive(child) for child in children)
        process.kill()
    wait_until(lambda: not any(in_group(group) for group in groups + children), 20)


def test_a_process_that_ended_is_not_signalled_later() -> None:
    """Its number may be another's by then."""
    with Processes() as processes:
        processes.start("first", ["sleep", "300"], {})
        processes.kill("first")
        assert processes.ended() == "first"
        processes.start("first", ["sleep", "300"], {})
        assert processes.ended() is None
    assert processes.ended() == "first"


def test_a_missing_program_is_said() -> None:
    with Processes() as processes, pytest.raises(StartError, match="the nobody cannot be started"):
        processes.start("nobody", ["/nowhere/nobody"], {})


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with (
        Processes(tmp_path / "logs") as processes,
        pytest.raises(StartError, match="the first cannot be started"),
    ):
        processes.start("first", ["sleep", "300"], {})


def test_an_end_is_told_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs", logged=("loud",)) as processes:
        processes.start("loud", ["sh", "-c", "echo one; echo two; echo three; echo 4; exit 3"], {})
        processes.start("quiet", ["sh", "-c", "exit 4"], {})
        (port,) = free_row(1)
        with pytest.raises(
            StartError, match=r"^the loud ended with status 3:\n  two\n  three\n  4$"
        ):
            processes.wait_for_port("loud", port, 10)
        with pytest.raises(StartError, match=r"^the quiet ended with status 4$"):
            processes.wait_for_url("quiet", f"http://127.0.0.1:{port}/", 10)


def test_a_process_that_is_not_ready_in_time_is_given_up() -> None:
    with Processes() as processes:
        processes.start("slow", ["sleep", "300"], {})
        (port,) = free_row(1)
        with pytest.raises(StartError, match="the slow was not ready within 0 s"):
            processes.wait_for_port("slow", port, 0.1)


def test_each_has_a_session_of_its_own() -> None:
    with Processes() as processes:
        processes.start("first", ["sleep", "300"], {})
        pid = processes.pid("first")
        assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)


WATCHED = """
import sys
from common.processes import Processes, say
say("ready")
sys.stdin.readline()
say("to nobody")
with Processes() as processes:
    processes.start("sleep", ["sleep", "60"], {})
    try:
        processes.wait()
    except KeyboardInterrupt:
        sys.exit(7)
"""


def test_a_terminal_that_goes_while_it_is_written_to_is_noticed() -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED], stdin=subprocess.PIPE, stdout=slave, cwd=ROOT
    ) as process:
        os.close(slave)
        assert b"ready" in os.read(master, 100)
        os.close(master)
        process.communicate(b"\n", timeout=50)
    assert process.returncode == 7
