"""Intervals that hold at every moment, so that an experiment may be looked at all the time.

An interval that is made for one look is wrong sooner or later when it is looked at again and again
until it says what one hopes for. These are confidence sequences: with probability ``1 - alpha`` the
truth is in *all* of them, whenever one stops: the normal-mixture sequential test of Johari,
Koomen, Pekelis and Walsh ("Always Valid Inference", Operations Research 70(3), 2022) in the
asymptotic form of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas ("Time-uniform central limit
theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024).

Requests of one subject are not independent of each other, and subjects are what is assigned. So a
mean over requests is a ratio of two sums over subjects, with the variance of such a ratio (delta
method; Deng, Knoblich and Lu, KDD 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TUNED_FOR = 500
"""Subjects a side at which the intervals are narrowest; they are valid at any number."""
MIN_SUBJECTS = 20
"""A side; with fewer the variance between subjects is not known."""


@dataclass(frozen=True)
class Interval:
    """Attributes:
    low, high: None where too little is known for either.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Ratio:
    """A mean over requests, from sums over subjects.

    Attributes:
        variance: of ``value``; infinite where it is not known.
    """

    value: float
    variance: float
    subjects: int


def ratio(sums: Iterable[tuple[float, float]], is_share: bool) -> Ratio:
    """Of (sum, count) of each subject.

    Args:
        is_share: each of what is counted is 0 or 1. So that none seen is not taken for none there
            is, the variance is then at least that of a share with one more of either.
    """
    pairs = [(total, count) for total, count in sums if count]
    subjects = len(pairs)
    total, count = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    if not count:
        return Ratio(0.0, math.inf, 0)
    value = total / count
    if subjects < MIN_SUBJECTS:
        return Ratio(value, math.inf, subjects)
    mean = count / subjects
    spread = sum(((y - value * n) / mean) ** 2 for y, n in pairs) / (subjects - 1)
    variance = spread / subjects
    if is_share:
        smoothed = (total + 1) / (count + 2)
        variance = max(variance, smoothed * (1 - smoothed) / count)
    return Ratio(value, variance, subjects)


def interval(of: Ratio, alpha: float) -> Interval:
    """Of one side."""
    return _around(of.value, of.variance, of.subjects, alpha)


def within_0_and_1(of: Interval) -> Interval:
    """A share's, which is nowhere else."""
    if of.low is None or of.high is None:
        return of
    return Interval(of.value, max(0.0, of.low), min(1.0, of.high))


def difference(of: Ratio, control: Ratio, alpha: float) -> Interval:
    """Of two sides that do not share subjects."""
    if not (of.subjects and control.subjects):
        return Interval(of.value - control.value)
    effective = 1 / (1 / of.subjects + 1 / control.subjects)
    return _around(of.value - control.value, of.variance + control.variance, effective, alpha)


def _around(value: float, variance: float, subjects: float, alpha: float) -> Interval:
    if not subjects or math.isinf(variance):
        return Interval(value)
    half = math.sqrt(variance) * radius(subjects, alpha)
    return Interval(value, value - half, value + half)


def radius(subjects: float, alpha: float) -> float:
    """Half of an interval's width, in standard errors."""
    log = -2 * math.log(alpha)
    mixture = subjects * (log + math.log(log + 1)) / TUNED_FOR
    return math.sqrt((mixture + 1) / mixture * math.log((mixture + 1) / alpha**2))
