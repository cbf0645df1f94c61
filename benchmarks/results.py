"""What a run leaves: plain data, written as JSON beside the report."""

from __future__ import annotations

import itertools
import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.edge import Edge
from benchmarks.generator import LoadResult
from benchmarks.limit import LimitResult
from benchmarks.machine import Machine
from benchmarks.processes import Memory


@dataclass(frozen=True)
class Scale:
    """How much is measured; times in seconds.

    Attributes:
        connections: of the closed loops; 1 and 64 are among them.
        shares: arrival rates of the open loops, as shares of what the closed loop reached.
        batches: images a request.
        sides: of square pictures, in pixels.
        rounds: of the shares of the physical limit.
        starts: of the service, for its start time.
        known: distinct images that are sent.
    """

    quick: bool
    seconds: float
    warm_seconds: float
    connections: tuple[int, ...]
    shares: tuple[float, ...]
    batches: tuple[int, ...]
    sides: tuple[int, ...]
    rounds: int
    starts: int
    known: int


FULL = Scale(
    quick=False,
    seconds=3.0,
    warm_seconds=1.0,
    connections=(1, 4, 16, 64, 128),
    shares=(0.4, 0.6, 0.8, 0.95),
    batches=(1, 4, 16, 64, 256, 512),
    sides=(28, 112, 512, 2048, 4096),
    rounds=5,
    starts=5,
    known=2000,
)
QUICK = Scale(
    quick=True,
    seconds=1.5,
    warm_seconds=0.7,
    connections=(1, 64),
    shares=(0.4, 0.8),
    batches=(1, 64, 512),
    sides=(28, 512, 4096),
    rounds=1,
    starts=2,
    known=500,
)


@dataclass
class Measured:
    """One candidate with one network.

    Attributes:
        start_seconds: by program, one entry a start.
        idle, loaded: memory by program, before and after all load.
        closed: by number of connections; opened: by arrival rate, requests a second.
        error: why there is nothing else.
    """

    name: str
    title: str
    setting: str
    start_seconds: dict[str, list[float]] = field(default_factory=dict)
    idle: dict[str, Memory] = field(default_factory=dict)
    loaded: dict[str, Memory] = field(default_factory=dict)
    closed: dict[int, LoadResult] = field(default_factory=dict)
    opened: dict[float, LoadResult] = field(default_factory=dict)
    error: str = ""


@dataclass
class Shares:
    """The service beside the physical limit, in turn; see ``benchmarks.shares``.

    Attributes:
        limits: one more than rounds.
        loads: by images a request, one a round.
    """

    limits: list[LimitResult]
    loads: dict[int, list[LoadResult]]

    def of(self, images: int) -> list[float]:
        """Each round's share for requests of that many images."""
        speeds = [limit.images_a_second for limit in self.limits]
        around = [(a + b) / 2 for a, b in itertools.pairwise(speeds)]
        return [
            load.images_a_second / limit
            for load, limit in zip(self.loads[images], around, strict=True)
        ]

    def typical(self, images: int) -> float:
        return statistics.median(self.of(images))


@dataclass(frozen=True)
class Overload:
    """The service at arrival rates around its capacity, which the closed loop showed.

    Attributes:
        capacity: requests a second.
        busy, over: at 80 % and at 400 % of it.
        after: one user, right after the overload.
        resident_before, resident_after: bytes of both processes.
    """

    capacity: float
    busy: LoadResult
    over: LoadResult
    after: LoadResult
    resident_before: int
    resident_after: int


@dataclass(frozen=True)
class Profile:
    """Where one process's CPU time went.

    Attributes:
        cpu_us_an_image: of this process under the load of the profile, without the profiler.
        shares: of samples, by the package whose code ran.
        functions: the heaviest, with their own share.
    """

    candidate: str
    process: str
    cpu_us_an_image: float
    shares: dict[str, float]
    functions: dict[str, float]


@dataclass
class Results:
    """Everything of one run; ``measured`` by revision, then by candidate.

    Attributes:
        limits: by revision, the first thing in the run and, in a full one, the last.
        batches: by candidate and images a request.
        sides: of the service, by the picture's side in pixels; ``side_costs`` of one core
            without a server.
    """

    machine: Machine
    scale: Scale
    started: str
    pictures: str
    left_out: dict[str, str] = field(default_factory=dict)
    limits: dict[str, list[LimitResult]] = field(default_factory=dict)
    measured: dict[str, dict[str, Measured]] = field(default_factory=dict)
    batches: dict[str, dict[int, LoadResult]] = field(default_factory=dict)
    sides: dict[int, LoadResult] = field(default_factory=dict)
    side_costs: dict[int, LimitResult] = field(default_factory=dict)
    shares: Shares | None = None
    overload: Overload | None = None
    profiles: list[Profile] = field(default_factory=list)
    edge: Edge | None = None

    def limit(self, revision: str) -> float:
        """Images a second of the physical limit: the better of the two measurements, 0 if none."""
        return max((item.images_a_second for item in self.limits.get(revision, [])), default=0.0)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """What ``Results.write`` wrote, for another look at an earlier run."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    document["machine"] = Machine(**document["machine"])
    scale = document["scale"]
    for name in ("connections", "shares", "batches", "sides"):
        scale[name] = tuple(scale[name])
    document["scale"] = Scale(**scale)
    document["limits"] = {
        revision: [LimitResult(**item) for item in items]
        for revision, items in document["limits"].items()
    }
    document["measured"] = {
        revision: {name: _measured(item) for name, item in items.items()}
        for revision, items in document["measured"].items()
    }
    document["batches"] = {name: _loads(items, int) for name, items in document["batches"].items()}
    document["sides"] = _loads(document["sides"], int)
    document["side_costs"] = {
        int(side): LimitResult(**item) for side, item in document["side_costs"].items()
    }
    shares = document["shares"]
    if shares is not None:
        document["shares"] = Shares(
            [LimitResult(**item) for item in shares["limits"]],
            {int(k): [LoadResult(**item) for item in v] for k, v in shares["loads"].items()},
        )
    overload = document["overload"]
    if overload is not None:
        for name in ("busy", "over", "after"):
            overload[name] = LoadResult(**overload[name])
        document["overload"] = Overload(**overload)
    if document["edge"] is not None:
        document["edge"] = Edge(**document["edge"])
    document["profiles"] = [Profile(**item) for item in document["profiles"]]
    return Results(**document)


def _measured(item: dict[str, Any]) -> Measured:
    for name in ("idle", "loaded"):
        item[name] = {key: Memory(**value) for key, value in item[name].items()}
    item["closed"] = _loads(item["closed"], int)
    item["opened"] = _loads(item["opened"], float)
    return Measured(**item)


def _loads(items: dict[str, Any], kind: Any) -> dict[Any, LoadResult]:
    return {kind(key): LoadResult(**value) for key, value in items.items()}
