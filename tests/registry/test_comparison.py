from __future__ import annotations

from dataclasses import replace

from artifact import Baseline
from registry.comparison import differences
from tests.conftest import make_card


def test_baselines_are_compared_by_their_pictures_alone() -> None:
    one = Baseline(pictures=5, bins=1, histograms={}, labels=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    other = replace(one, pictures=7, labels=(10, 9, 8, 7, 6, 5, 4, 3, 2, 1))
    found = differences(make_card(baseline=one), make_card(baseline=other))
    assert found == [("baseline.pictures", 5, 7)]
    assert differences(make_card(), make_card(baseline=one)) == [
        ("baseline", None, {"pictures": 5, "bins": 1})
    ]
