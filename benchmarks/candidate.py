"""A candidate: one way to serve the network, as one or two processes on the loopback address."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from benchmarks.answers import right
from benchmarks.load import Question, Target
from benchmarks.networks import Network
from benchmarks.questions import v1_body

HOST = "127.0.0.1"
START_SECONDS = 240.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.005


class CandidateError(RuntimeError):
    """A candidate did not start, or answers nothing right."""


@dataclass(frozen=True)
class Program:
    """One process: what is run, and where it is asked first to know that it answers.

    Attributes:
        question: what is asked first, at ``path`` of ``port``.
    """

    name: str
    command: list[str]
    folder: Path
    port: int
    path: str
    question: Question
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """How a server is set up.

    Attributes:
        title: as the report names it.
        setting: processes, threads and batching, in words.
        path: of its predict URL.
        programs: its processes for a network and a first question, in the order of their start;
            the last is the one that is asked.
        networks: the revisions it can serve.
        batches: whether a request may hold several images.
        body: how the encoded images of a request are written.
    """

    name: str
    title: str
    setting: str
    path: str
    programs: Callable[[Network, Question], list[Program]]
    networks: tuple[str, ...]
    batches: bool = False
    body: Callable[[Sequence[bytes]], bytes] = v1_body


class Running:
    """The processes of a candidate, started one after the other.

    Attributes:
        start_seconds: from each program's start to its first right answer, by its name.
    """

    def __init__(self, candidate: Candidate, programs: Sequence[Program], logs: Path) -> None:
        self.candidate = candidate
        self.start_seconds: dict[str, float] = {}
        self._programs = list(programs)
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Running:
        try:
            for program in self._programs:
                self._start(program)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    @property
    def target(self) -> Target:
        return Target(HOST, self._programs[-1].port, self.candidate.path, tuple(self.pids.values()))

    def stop(self) -> None:
        """Stop all, the last started first; what does not end by itself is killed."""
        for name in reversed(list(self._processes)):
            process = self._processes.pop(name)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
            # Each is the leader of its own group: what it leaves behind goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, program: Program) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{self.candidate.name}-{program.name}.log"
        started = time.monotonic()
        with path.open("wb") as log:
            process = subprocess.Popen(
                program.command,
                cwd=program.folder,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[program.name] = process
        last: bytes | None = None
        while time.monotonic() < started + START_SECONDS:
            code = process.poll()
            if code is not None:
                raise CandidateError(
                    f"{self.candidate.title}: the {program.name} ended with {code}: {_tail(path)}"
                )
            last = _ask(program)
            if last is not None and right(last, program.question.expected):
                self.start_seconds[program.name] = time.monotonic() - started
                return
            time.sleep(POLL_SECONDS)
        answer = "nothing" if last is None else repr(last[:200])
        raise CandidateError(
            f"{self.candidate.title}: the {program.name} answered {answer} after "
            f"{START_SECONDS:.0f} s: {_tail(path)}"
        )


def _ask(program: Program) -> bytes | None:
    """The body of a 200; None for everything else."""
    connection = http.client.HTTPConnection(HOST, program.port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", program.path, program.question.body, headers)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:])
