from __future__ import annotations

import numpy as np
import pytest

from benchmarks.arrivals import poisson


def test_poisson_arrivals_have_their_rate_and_their_spread() -> None:
    moments = poisson(1000, 10, seed=3)
    gaps = np.diff(moments)
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    assert moments[0] >= 0
    assert moments[-1] < 10
    assert (gaps >= 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
