"""Numbers as drawings: positions for an SVG that a template draws without a script."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from accounts.clock import DAY_MS, moment
from accounts.usage import UsageWindow

WIDTH, HEIGHT = 720, 180
"""Of the plot itself; labels stand outside of it."""
GAP = 0.25
TICKS = 4


@dataclass(frozen=True)
class Bar:
    """A day; positions in the units of the SVG's view box."""

    label: str
    requests: int
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 2)


@dataclass(frozen=True)
class Tick:
    """A line across the plot, and what it stands for."""

    value: float
    y: float


@dataclass(frozen=True)
class Bars:
    bars: list[Bar]
    ticks: list[Tick]


def round_step(highest: float, ticks: int = TICKS) -> float:
    """The least of 1, 2 and 5 times a power of ten that reaches ``highest`` in ``ticks`` steps."""
    least = highest / ticks
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(power * part for part in (1, 2, 5, 10) if power * part >= least * (1 - 1e-9))


def daily_bars(windows: list[UsageWindow], start_ms: int, end_ms: int) -> Bars:
    """A bar a day from start to end, days without usage among them."""
    counts: Counter[int] = Counter()
    for window in windows:
        counts[window.start_ms // DAY_MS] += window.requests
    days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
    highest = max([counts[day] for day in days] or [0])
    step = max(1, round(round_step(highest or 1)))
    top = step * max(1, math.ceil(highest / step))
    place = WIDTH / max(1, len(days))
    bars = []
    for index, day in enumerate(days):
        height = counts[day] / top * HEIGHT
        bars.append(
            Bar(
                f"{moment(day * DAY_MS):%Y-%m-%d}",
                counts[day],
                round(index * place + place * GAP / 2, 2),
                round(HEIGHT - height, 2),
                round(place * (1 - GAP), 2),
                round(height, 2),
            )
        )
    ticks = [Tick(v, round(HEIGHT - v / top * HEIGHT, 2)) for v in range(0, top + 1, step)]
    return Bars(bars, ticks)
