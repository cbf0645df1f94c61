"""Moments at which requests of an open arrival rate should be sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def poisson(rate: float, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Independent arrivals, ``rate`` a second on average: what many separate users make.

    Returns:
        Ascending moments in ``[0, seconds)``.
    """
    random = np.random.default_rng(seed)
    # Six standard deviations more than are expected, so that the span is always filled.
    count = int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 10)
    moments = np.cumsum(random.exponential(1 / rate, count))
    return moments[moments < seconds]
