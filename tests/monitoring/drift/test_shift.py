"""Tests of two counts: exact, and with few false alarms."""

from __future__ import annotations

from math import comb, exp

import pytest

from artifact.statistics import BRIGHTNESS
from monitoring.drift.fisher import log_p
from monitoring.drift.shift import (
    CUTS,
    FEWER_BUDGET,
    LOOKS,
    MORE_BUDGET,
    OTHERS_BUDGET,
    WINDOWS,
    allowed,
    shifts,
)


@pytest.mark.parametrize(
    ("hits", "size", "reference_hits", "reference_size"),
    [(5, 10, 2, 30), (0, 10, 12, 30), (10, 10, 3, 30), (40, 100, 1, 60), (2, 50, 40, 50)],
)
def test_the_chance_is_that_of_the_hypergeometric_distribution(
    hits: int, size: int, reference_hits: int, reference_size: int
) -> None:
    marked, total = hits + reference_hits, size + reference_size
    chances = {
        n: comb(marked, n) * comb(total - marked, size - n) / comb(total, size)
        for n in range(max(0, size - total + marked), min(size, marked) + 1)
    }
    above = sum(chance for n, chance in chances.items() if n >= hits)
    below = sum(chance for n, chance in chances.items() if n <= hits)
    found = exp(log_p(hits, size, reference_hits, reference_size))
    assert found == pytest.approx(2 * min(above, below), rel=1e-9)


def test_what_is_alike_is_no_shift() -> None:
    assert exp(log_p(10, 100, 100, 1000)) == 1
    assert log_p(0, 100, 0, 1000) == 0


def test_a_shift_names_where_it_is_clearest() -> None:
    names = BRIGHTNESS.bins
    was = dict.fromkeys(names, 100)
    darker = {name: 80 if place < 5 else 0 for place, name in enumerate(names)}
    (found,) = shifts({"brightness": darker}, {"brightness": was})
    assert found.is_there
    assert (found.bound, found.now, found.size) == ("0.07", 0, 400)
    assert found.was == pytest.approx(1 - 5 / len(names))


def test_a_label_is_compared_by_itself_also_one_that_there_was_none_of() -> None:
    was = {"cat": 2000, "dog": 2000, "owl": 0}
    (same,) = shifts({"label": {"cat": 200, "dog": 210}}, {"label": was})
    assert not same.is_there
    (other,) = shifts({"label": {"cat": 200, "dog": 200, "owl": 20}}, {"label": was})
    assert other.is_there
    assert other.bound == "owl"


def test_what_only_one_has_counted_is_not_compared() -> None:
    assert shifts({"label": {"cat": 1}}, {"brightness": {"0.02": 1}}) == []
    assert shifts({"label": {}}, {"label": {"cat": 1}}) == []


def test_all_chances_together_are_less_than_one_false_alarm() -> None:
    labels = 10
    of_labels = sum(
        labels * LOOKS * exp(allowed("label", labels, window, is_more)) / 2
        for window in WINDOWS
        for is_more in (True, False)
    )
    others = CUTS * LOOKS * sum(exp(allowed("brightness", 20, w, True)) for w in WINDOWS)
    assert of_labels == pytest.approx(MORE_BUDGET + FEWER_BUDGET)
    assert others == pytest.approx(OTHERS_BUDGET)
    assert of_labels + others < 1


@pytest.mark.parametrize(("now", "there"), [(145, True), (52, False)])
def test_a_label_that_grows_is_told_of_sooner_than_one_that_shrinks(now: int, there: bool) -> None:
    """Both are as unlikely; the second is told of as well, a little later."""
    was = dict.fromkeys("abcdefghij", 1000)
    others = dict.fromkeys("bcdefghij", (950 - now) // 9)
    counts = {"label": {"a": now, **others}}
    size = sum(counts["label"].values())
    assert -14.6 < log_p(now, size, 1000, 10_000) < -12.6
    (found,) = shifts(counts, {"label": was})
    assert (found.bound, found.is_there) == ("a", there)
