"""A day's requests: a night, a morning, an evening, and moments when everybody asks at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.service import STEP

DAY = 86_400
RUSHES = 4
"""A day: each two minutes long, three times what comes then."""


def day(per_second: float, seed: int = 0, seconds: int = DAY) -> NDArray[np.float64]:
    """Requests in each ``STEP``, Poisson, with a mean of ``per_second`` over the day."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds / STEP)) * STEP
    # Least before dawn, a tenth of the most.
    shape = 1.05 + np.sin(2 * math.pi * (at / DAY - 10 / 24)) + 0.3 * np.sin(4 * math.pi * at / DAY)
    shape = np.maximum(shape, 0.1)
    for begin in rng.uniform(0, max(1, seconds - 120), RUSHES):
        shape[(at >= begin) & (at < begin + 120)] *= 3
    rate = shape / shape.mean() * per_second * STEP
    trace: NDArray[np.float64] = rng.poisson(rate).astype(np.float64)
    return trace


def once(after: float = 0.0) -> NDArray[np.float64]:
    """One request, so many seconds after the beginning."""
    trace = np.zeros(round(after / STEP) + 1)
    trace[-1] = 1.0
    return trace
