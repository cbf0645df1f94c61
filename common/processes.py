"""Processes of this machine: started in order, waited for, and stopped in the other order."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO

from common.errors import StartError
from common.ports import LOCAL_HOST

ROOT = Path(__file__).parent.parent
WATCHDOG = Path(__file__).with_name("watchdog.py")
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
STDOUT = 1
TAIL_LINES = 3


class Processes:
    """Named processes, none of which outlives this one, however it ends.

    Each has a session and a process group of its own, so that Ctrl-C in the terminal reaches it
    through ``stop``, in order, and what it started itself can be ended with it. A watchdog ends
    them where this process is killed.

    Args:
        log_folder: where each one's output goes, as ``<name>.log``; None: to this process's own.
        logged: names of those whose output goes there; None: all.
    """

    def __init__(
        self, log_folder: Path | None = None, logged: tuple[str, ...] | None = None
    ) -> None:
        self._log_folder = log_folder
        self._logged = logged
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._parent = os.getppid()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start a process; its environment is this one's and ``environment``.

        Raises:
            StartError: its program or the folder for its log cannot be used.
        """
        # An interrupt between the start and the note of it would leave a process behind.
        with _interrupts_held():
            self._start_watchdog()
            try:
                with self._log(name) as log:
                    process = subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env={**os.environ, **environment},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT if log else None,
                        start_new_session=True,
                    )
            except OSError as error:
                raise StartError(f"the {name} cannot be started: {error}") from None
            self._running[name] = process
            self._tell_watchdog(process.pid)

    def wait_for_port(self, name: str, port: int, seconds: float = READY_SECONDS) -> None:
        """Wait until the process listens; raises StartError as ``wait_until`` does."""
        self.wait_until(name, lambda: listens(port), seconds)

    def wait_for_url(self, name: str, url: str, seconds: float = READY_SECONDS) -> None:
        """Wait until the URL answers 200; raises StartError as ``wait_until`` does."""
        self.wait_until(name, lambda: answers(url), seconds)

    def wait_until(
        self, name: str, condition: Callable[[], bool], seconds: float = READY_SECONDS
    ) -> None:
        """Wait until something is so while the process runs.

        Raises:
            StartError: the process ended, or it was not so in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            code = self._running[name].poll()
            # First: another process could be the one that answers, this one's port being taken.
            if code is not None:
                raise StartError(f"the {name} ended with status {code}{self.tail(name)}")
            if found:
                return
            self._require_listener()
            if time.monotonic() > deadline:
                raise StartError(
                    f"the {name} was not ready within {seconds:.0f} s{self.tail(name)}"
                )
            time.sleep(0.05)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End one at once, as a crash would."""
        process = self._running[name]
        _kill_group(process)
        process.wait()
        self._tell_watchdog(-process.pid)

    def terminate(self, name: str) -> int:
        """Tell one to stop, as a cluster does, and wait for its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not end within ``STOP_SECONDS``.
        """
        process = self._running[name]
        process.terminate()
        return process.wait(STOP_SECONDS)

    def ended(self) -> str | None:
        """The name of one that has ended by itself, if one has."""
        for name, process in self._running.items():
            if process.poll() is not None:
                return name
        return None

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until one has ended by itself.

        Args:
            meanwhile: is called again and again.

        Raises:
            StartError: saying which.
            KeyboardInterrupt: as for Ctrl-C, where nobody is left to press it.
        """
        while (name := self.ended()) is None:
            self._require_listener()
            meanwhile()
            time.sleep(0.3)
        code = self._running[name].returncode
        raise StartError(f"the {name} ended with status {code}{self.tail(name)}")

    def stop(self) -> None:
        """Stop all, the last started first; interrupted (a second Ctrl-C), kill what is left."""
        try:
            for name, process in reversed(self._running.items()):
                if process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.terminate(name)
                    # All of it, or what it started itself and left.
                    _kill_group(process)
        except KeyboardInterrupt:
            for process in self._running.values():
                if process.poll() is None:
                    _kill_group(process)
        for process in self._running.values():
            process.wait()
            self._tell_watchdog(-process.pid)
        if self._watchdog is not None:
            assert self._watchdog.stdin is not None
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None

    def tail(self, name: str) -> str:
        """The last lines of a log, to be put after a message."""
        if not self._is_logged(name):
            return ""
        assert self._log_folder is not None
        lines = (self._log_folder / f"{name}.log").read_text(errors="replace").splitlines()
        return ":\n  " + "\n  ".join(lines[-TAIL_LINES:]) if lines else ""

    def _is_logged(self, name: str) -> bool:
        return self._log_folder is not None and (self._logged is None or name in self._logged)

    def _log(self, name: str) -> contextlib.AbstractContextManager[BinaryIO | None]:
        if self._log_folder is None or not self._is_logged(name):
            return contextlib.nullcontext()
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return (self._log_folder / f"{name}.log").open("ab")

    def _require_listener(self) -> None:
        """Raise KeyboardInterrupt where the terminal or the ``make`` that started this is gone.

        Not everybody is told by a signal: make waits for what it started when it gets SIGHUP.
        """
        orphaned = bool(os.environ.get("MAKELEVEL")) and os.getppid() != self._parent
        if orphaned or _Output.hung_up or _hung_up(STDOUT):
            raise KeyboardInterrupt

    def _start_watchdog(self) -> None:
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG)],
                stdin=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )

    def _tell_watchdog(self, number: int) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            # Without a watchdog all goes on; it matters only to a killed supervisor.
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(b"%d\n" % number)


class _Output:
    """Whether ``say`` has found the terminal gone: what stands in its place does not tell."""

    hung_up = False


class _Interrupts:
    """State of ``interruptible``: signals are counted while they are held back."""

    held = False
    waiting = False


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt.

    Set even where the shell has SIGINT ignored, as it does for what it runs with "&"; ``nohup``
    keeps its meaning.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if _Interrupts.held:
            _Interrupts.waiting = True
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    _Interrupts.held, _Interrupts.waiting = True, False
    try:
        yield
    finally:
        _Interrupts.held = False
    if _Interrupts.waiting:
        raise KeyboardInterrupt


def _hung_up(descriptor: int) -> bool:
    """Whether this was a terminal, and it has been closed."""
    try:
        termios.tcgetattr(descriptor)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False


def listens(port: int) -> bool:
    """Whether somebody listens on a port of the loopback address."""
    try:
        socket.create_connection((LOCAL_HOST, port), 1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether the URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def say(text: str) -> None:
    """Print a line at once; where the terminal is gone, nothing."""
    try:
        print(text, flush=True)
    except OSError:
        _Output.hung_up = _hung_up(STDOUT)
        # Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def environment_folder(name: str, folder: Path = ROOT) -> Path:
    """Where ``make`` installs an environment."""
    return Path(os.environ.get("VENVS") or folder / ".venv") / name


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all of its group; to be used before its number can be another's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
