"""A rollout's evidence as drawings: the gate, and each step's shares, scores and durations.

Read from the record as it is kept; what an older or newer one does not have is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.intervals import wilson
from console.plot import Tick, round_step

WIDTH, HEIGHT = 240, 140
SIDES = ("stable", "canary")


@dataclass(frozen=True)
class Mark:
    """A value of a side at a step, with its 95 % interval; positions in the plot's units."""

    side: str
    text: str
    x: float
    y: float
    low_y: float
    high_y: float


@dataclass(frozen=True)
class Chart:
    """Attributes:
    steps: labels along the axis with their positions.
    asked: the share that each step asked for, as ``Mark`` without an interval.
    """

    title: str
    unit: str
    steps: tuple[tuple[str, float], ...]
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    asked: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Hold:
    """One step: what was asked, for how long, and what was seen meanwhile."""

    percent: int
    seconds: float
    calls: int
    failed: int
    share: float
    canary: str
    stable: str


@dataclass(frozen=True)
class GateSide:
    """What one side did with the labelled images, before the first per cent."""

    name: str
    revision: str
    score: str
    failures: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Evidence:
    gate: tuple[GateSide, ...] = ()
    gate_text: str = ""
    holds: tuple[Hold, ...] = ()
    charts: tuple[Chart, ...] = ()


def read_evidence(progress: Mapping[str, Any]) -> Evidence:
    """Of a rollout's ``progress``; raises ValueError, KeyError or TypeError."""
    gate = json.loads(progress["gate"]) if progress.get("gate") else None
    intervals = progress.get("intervals") or []
    sides, text = _gate(gate) if gate else ((), "")
    charts = _charts(intervals) if intervals else ()
    return Evidence(sides, text, tuple(map(_hold, intervals)), charts)


def quantile_ms(counts: Mapping[str, float], share: float) -> float:
    """Milliseconds, from counts by upper bound in seconds; 0 where there are none."""
    wanted = share * sum(counts.values())
    below, lower = 0.0, 0.0
    for text, count in sorted(counts.items(), key=lambda item: float(item[0])):
        bound = float(text)
        if count and below + count >= wanted:
            if math.isinf(bound):
                break
            return 1000 * (lower + (bound - lower) * (wanted - below) / count)
        below, lower = below + count, bound
    return 1000 * lower


def _gate(gate: Mapping[str, Any]) -> tuple[tuple[GateSide, ...], str]:
    images = gate["images"]
    sides = tuple(
        GateSide(
            name,
            ", ".join(gate[name]["revisions"]),
            f"{100 * gate[name]['correct'] / images:.2f} %",
            gate[name]["failures"],
            gate[name]["p50_ms"],
            gate[name]["p95_ms"],
        )
        for name in SIDES
    )
    text = (
        f"{images} labelled images to both: {gate['agreement']} answered alike, "
        f"{gate['stable_only']} right by stable alone, {gate['canary_only']} by the new one alone."
    )
    return sides, text


def _hold(interval: Mapping[str, Any]) -> Hold:
    found = interval["evidence"]
    counted, stable = found["counted_canary"], found["counted_stable"]
    both = counted["total"] + stable["total"]
    return Hold(
        interval["percent"],
        interval["seconds"],
        int(counted["total"]),
        int(counted["failed"]),
        counted["total"] / both if both else 0.0,
        _right(found["canary"]),
        _right(found["stable"]),
    )


def _right(calls: Mapping[str, Any]) -> str:
    if not calls["labelled"]:
        return "–"
    return f"{calls['correct']:g} of {calls['labelled']} right"


def _charts(intervals: list[dict[str, Any]]) -> tuple[Chart, ...]:
    place = WIDTH / len(intervals)
    steps = tuple(
        (f"{item['percent']} %", round((index + 0.5) * place, 1))
        for index, item in enumerate(intervals)
    )
    shares: list[tuple[str, float, float, float, float]] = []
    scores: list[tuple[str, float, float, float, float]] = []
    times: list[tuple[str, float, float, float, float]] = []
    for (_, x), item in zip(steps, intervals, strict=True):
        found = item["evidence"]
        canary = found["counted_canary"]["total"]
        both = canary + found["counted_stable"]["total"]
        if both:
            shares.append(_share("canary", x, canary, both))
        for side, shift in zip(SIDES, (-6, 6), strict=True):
            calls = found[side]
            if calls["labelled"]:
                scores.append(_share(side, x + shift, calls["correct"], calls["labelled"]))
            if calls["seconds"]:
                p95 = quantile_ms(calls["seconds"], 0.95)
                times.append((side, x + shift, p95, p95, p95))
    asked = tuple((x, item["percent"] / 100) for (_, x), item in zip(steps, intervals, strict=True))
    least = min((low for _, _, _, low, _ in scores), default=0.0)
    floor = max(0.0, math.floor(least * 20) / 20)
    return (
        _chart("Share of calls", "%", steps, shares, 0.0, 1.0, asked),
        _chart("Right on labelled images", "%", steps, scores, min(floor, 0.95), 1.0),
        _chart("95 % answered within", "ms", steps, times, 0.0, _top(times)),
    )


def _share(
    side: str, x: float, part: float, whole: float
) -> tuple[str, float, float, float, float]:
    return (side, x, part / whole, *wilson(part, whole))


def _top(points: list[tuple[str, float, float, float, float]]) -> float:
    highest = max((value for _, _, value, _, _ in points), default=1.0) or 1.0
    step = round_step(highest)
    return step * math.ceil(highest / step)


def _chart(
    title: str,
    unit: str,
    steps: tuple[tuple[str, float], ...],
    points: list[tuple[str, float, float, float, float]],
    low: float,
    high: float,
    asked: tuple[tuple[float, float], ...] = (),
) -> Chart:
    factor = 100 if unit == "%" else 1

    def at(value: float) -> float:
        return round(HEIGHT - (value - low) / (high - low) * HEIGHT, 1)

    middle = (low + high) / 2
    ticks = tuple(Tick(round(factor * value, 1), at(value)) for value in (low, middle, high))
    marks = tuple(
        Mark(side, f"{side}: {factor * value:.1f} {unit}", x, at(value), at(below), at(above))
        for side, x, value, below, above in points
    )
    return Chart(title, unit, steps, ticks, marks, tuple((x, at(share)) for x, share in asked))
