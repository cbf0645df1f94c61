"""Usage as bars: numbers for an SVG that the template draws without a script."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from accounts.clock import DAY_MS, moment
from accounts.usage import UsageWindow

HEIGHT = 120
WIDTH = 620
GAP = 0.25


@dataclass(frozen=True)
class Bar:
    """A day; positions in the units of the SVG's view box."""

    label: str
    requests: int
    x: float
    y: float
    width: float
    height: float


def daily_bars(windows: list[UsageWindow], start_ms: int, end_ms: int) -> list[Bar]:
    """A bar a day from start to end, days without usage among them."""
    counts: Counter[int] = Counter()
    for window in windows:
        counts[window.start_ms // DAY_MS] += window.requests
    days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
    highest = max([counts[day] for day in days] or [0]) or 1
    step = WIDTH / max(1, len(days))
    bars = []
    for index, day in enumerate(days):
        height = counts[day] / highest * HEIGHT
        bars.append(
            Bar(
                f"{moment(day * DAY_MS):%Y-%m-%d}",
                counts[day],
                round(index * step + step * GAP / 2, 2),
                round(HEIGHT - height, 2),
                round(step * (1 - GAP), 2),
                round(height, 2),
            )
        )
    return bars
