"""What a shadow's answers were beside those that were given: sums, and the latest that differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from accounts.sequential import Interval, Ratio, interval, within_0_and_1
from accounts.tables import ShadowTotals

MAX_EXAMPLES = 20
MIN_COMPARED = 20


@dataclass(frozen=True)
class Example:
    """A request that the shadow answered otherwise."""

    request_id: str
    baseline: str
    shadow: str
    max_difference: float


@dataclass
class Tally:
    """What came of copies; added up from many of these.

    Attributes:
        off_revision: copies that another revision answered than the experiment names.
        dropped: copies that there was no time for.
        slower_ms, slower_squares: sums of how much longer the shadow took, and of its square.
    """

    compared: int = 0
    agreeing: int = 0
    baseline_failed: int = 0
    shadow_failed: int = 0
    off_revision: int = 0
    dropped: int = 0
    max_difference: float = 0.0
    baseline_ms: float = 0.0
    shadow_ms: float = 0.0
    slower_ms: float = 0.0
    slower_squares: float = 0.0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class ShadowReport:
    """Attributes:
    agreement: share of the compared answers that come down to the same.
    slower_ms: how much longer the shadow takes, of the same requests.
    """

    tally: Tally
    agreement: Interval
    baseline_ms: float
    shadow_ms: float
    slower_ms: Interval


def add(session: Session, experiment: str, tally: Tally) -> None:
    """Add what has come together since the last time."""
    query = select(ShadowTotals).where(ShadowTotals.experiment == experiment).with_for_update()
    row = session.scalars(query).one_or_none()
    if row is None:
        row = ShadowTotals(experiment=experiment, totals=json.dumps(asdict(Tally())))
        session.add(row)
    row.totals = json.dumps(asdict(_sum(_read(row.totals), tally)))


def shadow_report(session: Session, experiment: str, alpha: float) -> ShadowReport:
    row = session.get(ShadowTotals, experiment)
    tally = _read(row.totals) if row else Tally()
    count = tally.compared
    share = tally.agreeing / count if count else 0.0
    # One more of either, so that none seen is not taken for none there is.
    smoothed = (tally.agreeing + 1) / (count + 2)
    slower = tally.slower_ms / count if count else 0.0
    spread = max(0.0, tally.slower_squares - count * slower**2) / max(1, count - 1)
    return ShadowReport(
        tally,
        within_0_and_1(_interval(share, smoothed * (1 - smoothed), count, alpha)),
        tally.baseline_ms / count if count else 0.0,
        tally.shadow_ms / count if count else 0.0,
        _interval(slower, spread, count, alpha),
    )


def _interval(value: float, variance: float, count: int, alpha: float) -> Interval:
    if count < MIN_COMPARED:
        return Interval(value)
    return interval(Ratio(value, variance / count, count), alpha)


def _read(text: str) -> Tally:
    totals = json.loads(text)
    examples: Sequence[dict[str, str | float]] = totals.pop("examples")
    return Tally(**totals, examples=[Example(**item) for item in examples])  # type: ignore[arg-type]


def _sum(one: Tally, other: Tally) -> Tally:
    added = {
        name: value + getattr(other, name)
        for name, value in vars(one).items()
        if name not in ("examples", "max_difference")
    }
    return Tally(
        **added,
        max_difference=max(one.max_difference, other.max_difference),
        examples=[*one.examples, *other.examples][-MAX_EXAMPLES:],
    )
