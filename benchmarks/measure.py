"""One candidate with one network: start, memory, closed and open loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.candidate import Candidate, CandidateError, Running
from benchmarks.generator import LoadResult
from benchmarks.load import LoadError, closed_loop, open_loop
from benchmarks.networks import Network
from benchmarks.processes import memory
from benchmarks.questions import Known, questions
from benchmarks.results import Measured, Overload, Scale
from benchmarks.service import SERVICE

USERS = 64
"""Connections at which candidates are compared."""

EDGE_CONNECTIONS = 1024
"""What Envoy's circuit breaker lets through by default: more never reach a server at a time."""

BUSY, OVER = 0.8, 4.0

Step = Callable[[str], None]
"""Called before each measurement with what it is."""


def measure(
    candidate: Candidate,
    network: Network,
    known: Sequence[Known],
    scale: Scale,
    logs: Path,
    step: Step,
) -> Measured:
    """Everything about one candidate; an error in place of figures if it does not run."""
    asked = questions(known, body=candidate.body)
    found = Measured(candidate.name, candidate.title, candidate.setting)
    try:
        step(f"{candidate.title}: start")
        with Running(candidate, candidate.programs(network, asked[0]), logs) as running:
            found.start_seconds = {k: [v] for k, v in running.start_seconds.items()}
            found.idle = {name: memory([pid]) for name, pid in running.pids.items()}
            for connections in scale.connections:
                step(f"{candidate.title}: {connections} connections")
                found.closed[connections] = closed_loop(
                    running.target, asked, connections, scale.seconds, scale.warm_seconds
                )
            capacity = found.closed[USERS].requests_a_second
            for share in scale.shares if not scale.quick or candidate.name == SERVICE else ():
                rate = share * capacity
                step(f"{candidate.title}: {rate:.0f} requests a second")
                found.opened[rate] = open_loop(
                    running.target, asked, rate, scale.seconds, scale.warm_seconds
                )
            found.loaded = {name: memory([pid]) for name, pid in running.pids.items()}
    except (CandidateError, LoadError, OSError) as error:
        found.error = str(error)
    return found


def measure_starts(
    candidate: Candidate, network: Network, known: Sequence[Known], count: int, logs: Path
) -> dict[str, list[float]]:
    """Seconds from each program's start to its first right answer, ``count`` times."""
    asked = questions(known[:1], body=candidate.body)
    found: dict[str, list[float]] = {}
    for _ in range(count):
        with Running(candidate, candidate.programs(network, asked[0]), logs) as running:
            for name, seconds in running.start_seconds.items():
                found.setdefault(name, []).append(seconds)
    return found


def batch_users(count: int) -> int:
    """As many users as keep 64 images or both cores busy with requests of ``count`` images."""
    return max(4, USERS // count)


def measure_batches(
    running: Running, known: Sequence[Known], scale: Scale, step: Step
) -> dict[int, LoadResult]:
    """Requests of several images."""
    found = {}
    for count in scale.batches:
        step(f"{running.candidate.title}: {count} images a request")
        asked = questions(known, count, running.candidate.body)
        found[count] = closed_loop(
            running.target, asked, batch_users(count), scale.seconds, scale.warm_seconds
        )
    return found


def measure_overload(
    running: Running, known: Sequence[Known], capacity: float, scale: Scale, step: Step
) -> Overload:
    """Arrival rates of 80 % and 400 % of ``capacity``, in requests a second."""
    asked = questions(known, body=running.candidate.body)
    pids = running.pids.values()
    before = memory(pids).resident
    step(f"{running.candidate.title}: {BUSY:.0%} of its capacity")
    busy = open_loop(
        running.target, asked, BUSY * capacity, scale.seconds, scale.warm_seconds, EDGE_CONNECTIONS
    )
    step(f"{running.candidate.title}: {OVER:.0%} of its capacity")
    over = open_loop(
        running.target,
        asked,
        OVER * capacity,
        scale.seconds,
        scale.warm_seconds,
        EDGE_CONNECTIONS,
        drop=True,
    )
    after = closed_loop(running.target, asked, 1, scale.seconds / 2, 0.2)
    return Overload(capacity, busy, over, after, before, memory(pids).resident)
