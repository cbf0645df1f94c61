"""How fast and how well the models answer, from the latest events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from accounts.tables import INTENT, Event

MAX_EVENTS = 20_000
BOUNDS_MS = (5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Latency:
    """Of a revision's answers as the edge saw them.

    Attributes:
        failed: requests that ended otherwise, by status; of no revision where none answered.
        bars: the share of answers in each of the ``BOUNDS_MS``, the last without an end.
    """

    model: str
    revision: str
    answers: int
    p50_ms: int
    p95_ms: int
    p99_ms: int
    failed: tuple[tuple[int, int], ...]
    bars: tuple[float, ...]


def latencies(session: Session, start_ms: int, end_ms: int) -> list[Latency]:
    """By model and revision, of the latest events that were completed in [start, end)."""
    rows = session.execute(
        select(Event.model, Event.revision, Event.status, Event.milliseconds)
        .where(Event.completed_ms >= start_ms, Event.completed_ms < end_ms, Event.state != INTENT)
        .order_by(Event.completed_ms.desc())
        .limit(MAX_EVENTS)
    )
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    failed: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for model, revision, status, milliseconds in rows:
        if status == 200:
            times[model, revision].append(milliseconds)
        else:
            failed[model, revision][status] += 1
    return [
        _latency(model, revision, sorted(times.get((model, revision), [])), failed)
        for model, revision in sorted({*times, *failed})
    ]


def _latency(
    model: str, revision: str, found: list[int], failed: dict[tuple[str, str], dict[int, int]]
) -> Latency:
    return Latency(
        model,
        revision,
        len(found),
        _quantile(found, 0.5),
        _quantile(found, 0.95),
        _quantile(found, 0.99),
        tuple(sorted(failed.get((model, revision), {}).items())),
        _bars(found),
    )


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _bars(found: list[int]) -> tuple[float, ...]:
    counts = [0] * (len(BOUNDS_MS) + 1)
    for milliseconds in found:
        counts[sum(milliseconds > bound for bound in BOUNDS_MS)] += 1
    return tuple(count / (len(found) or 1) for count in counts)
