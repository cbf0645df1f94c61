"""Load on a server: renders the requests, runs the generator as a process, reads its result."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import Expected
from benchmarks.arrivals import poisson
from benchmarks.generator import LoadResult, Plan

ROOT = Path(__file__).parent.parent
DRAIN_SECONDS = 5.0


class LoadError(RuntimeError):
    """The load generator did not come to an end."""


@dataclass(frozen=True)
class Question:
    """The body of a request and the right answers to its images."""

    body: bytes
    expected: tuple[Expected, ...]


@dataclass(frozen=True)
class Target:
    """Where questions go.

    Attributes:
        pids: processes whose CPU time counts as the server's, with their descendants.
    """

    host: str
    port: int
    path: str
    pids: tuple[int, ...]


def closed_loop(
    target: Target,
    questions: Sequence[Question],
    connections: int,
    seconds: float,
    warm_seconds: float,
) -> LoadResult:
    """``connections`` users, each sending the next request when the last is answered."""
    return _run(target, questions, connections, seconds, warm_seconds, None, drop=False)


def open_loop(
    target: Target,
    questions: Sequence[Question],
    rate: float,
    seconds: float,
    warm_seconds: float,
    connections: int = 1024,
    drop: bool = False,
) -> LoadResult:
    """Poisson arrivals, ``rate`` requests a second, whatever the server makes of them.

    Args:
        connections: most at a time; see ``Plan.drop`` for what happens beyond.
    """
    moments = poisson(rate, warm_seconds + seconds)
    return _run(target, questions, connections, seconds, warm_seconds, moments, drop)


def render(target: Target, body: bytes) -> bytes:
    """One whole HTTP/1.1 request."""
    head = (
        f"POST {target.path} HTTP/1.1\r\n"
        f"Host: {target.host}:{target.port}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _run(
    target: Target,
    questions: Sequence[Question],
    connections: int,
    seconds: float,
    warm_seconds: float,
    moments: NDArray[np.float64] | None,
    drop: bool,
) -> LoadResult:
    requests = [render(target, question.body) for question in questions]
    plan = Plan(
        host=target.host,
        port=target.port,
        connections=connections,
        open_loop=moments is not None,
        drop=drop,
        warm_seconds=warm_seconds,
        seconds=seconds,
        drain_seconds=DRAIN_SECONDS,
        server_pids=list(target.pids),
        request_sizes=[len(request) for request in requests],
        expected=[[(e.class_id, e.probability) for e in q.expected] for q in questions],
    )
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(asdict(plan)))
        (folder / "requests.bin").write_bytes(b"".join(requests))
        (folder / "arrivals.bin").write_bytes(b"" if moments is None else moments.tobytes())
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.generator", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=warm_seconds + seconds + 120,
        )
    if finished.returncode != 0:
        raise LoadError(f"the load generator failed: {finished.stderr.strip()[-500:]}")
    return LoadResult(**json.loads(finished.stdout))
