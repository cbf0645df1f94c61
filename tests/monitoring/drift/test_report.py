"""What people read of drift."""

from __future__ import annotations

import numpy as np

from artifact.statistics import CONFIDENCE
from monitoring.drift.report import report
from monitoring.drift.watch import Watch
from tests.monitoring.drift.streams import drawn


def test_a_median_near_to_one_is_not_told_as_one() -> None:
    random = np.random.default_rng(0)
    sure = {name: 10 if name == "0.99997" else 0 for name in CONFIDENCE.bins}
    watch = Watch({**drawn(random, 2000), "confidence": sure})
    for _ in range(2):
        watch.add({**drawn(random, 100), "confidence": sure}, 0)
    (row,) = [line for line in report({("m", "1"): watch}).splitlines() if "confidence " in line]
    assert row.split()[1:3] == ["0.999935", "0.999935"]
