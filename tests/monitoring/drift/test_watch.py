"""A small twin of ``benchmarks.drift``, with pictures of nobody's."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.drift.accuracy import estimated_accuracy
from monitoring.drift.counts import pictures, plus
from monitoring.drift.watch import LEARNT_FROM, Watch, Watches
from tests.monitoring.drift.streams import drawn, held_out, stream

RANDOM = np.random.default_rng(5)
CARD = held_out(RANDOM)
FOUND_WITHIN = 1000


def followed(watch: Watch, **kind: float) -> int | None:
    """Pictures of a kind until the first shift is told of; None beyond what is promised."""
    before = watch.pictures
    for counts in stream(RANDOM, FOUND_WITHIN // 50, **kind):
        watch.add(counts, 0)
        if any(shift.is_there for shift in watch.latest.values()):
            return watch.pictures - before
    return None


def usual(blocks: int = 30) -> Watch:
    watch = Watch(CARD, CARD)
    for counts in stream(RANDOM, blocks):
        watch.add(counts, 0)
    return watch


def test_what_is_as_it_was_alarms_nobody() -> None:
    watch = usual(1000)
    assert not watch.seen
    assert pictures(watch.window) < 1100, "no more is kept than is compared"


@pytest.mark.parametrize(
    ("kind", "statistic"),
    [
        ({"light": 0.24}, "brightness"),
        ({"strangers": 0.05}, "familiarity"),
        ({"first_label": 0.2}, "label"),
    ],
)
def test_a_shift_is_found_and_named(kind: dict[str, float], statistic: str) -> None:
    for _ in range(5):
        watch = usual()
        assert followed(watch, **kind) is not None
        (seen,) = watch.seen.values()
        assert seen.shift.statistic == statistic


def test_a_shift_that_is_over_is_remembered() -> None:
    watch = usual()
    assert followed(watch, light=0.15) is not None
    for time, counts in enumerate(stream(RANDOM, 40), 1):
        watch.add(counts, time)
    assert not watch.latest["brightness"].is_there
    assert watch.seen["brightness"].last < 30


def test_a_revision_without_a_baseline_learns_one() -> None:
    watches = Watches({})
    key = ("m", "1")
    for counts in stream(RANDOM, LEARNT_FROM // 50):
        assert key not in watches.of or watches.of[key].is_learning
        watches.add({key: counts}, 0)
    watch = watches.of[key]
    assert not watch.is_learning
    assert watch.accuracy is None
    assert followed(watch, light=0.2) is not None


def test_a_baseline_that_was_chosen_goes_before_the_cards() -> None:
    dark = drawn(RANDOM, 4000, light=0.2)
    watches = Watches({("m", "1"): dark})
    watches.know({("m", "1"): CARD})
    watch = watches.of["m", "1"]
    assert followed(watch, light=0.2) is None
    assert watch.accuracy is not None, "right answers are counted on the card's pictures"


def test_a_baseline_that_is_accepted_meanwhile_ends_the_alarm() -> None:
    key = ("m", "1")
    watches = Watches({})
    watches.know({key: CARD})
    for counts in stream(RANDOM, 20, light=0.2):
        watches.add({key: counts}, 0)
    watch = watches.of[key]
    assert watch.latest["brightness"].is_there
    accepted = {key: watch.counted}
    watches.choose(accepted)
    watches.choose(accepted)
    assert not watch.seen
    assert followed(watch, light=0.2) is None
    watches.choose({})
    assert followed(watch, light=0.2) is not None, "the card's again"


def test_accuracy_is_estimated_with_the_interval() -> None:
    found = estimated_accuracy(drawn(RANDOM, 1000), CARD)
    assert found is not None
    assert found.low < 0.895 < found.high
    assert found.high - found.low < 0.06
    strange = estimated_accuracy(drawn(RANDOM, 1000, strangers=0.5), CARD)
    assert strange is not None
    # Half of the pictures may be of no class, or half of them right: nobody knows.
    assert strange.low < 0.46
    assert strange.high > 0.65


def test_nothing_is_estimated_from_nothing() -> None:
    assert estimated_accuracy(drawn(RANDOM, 10), {}) is None
    assert estimated_accuracy({}, CARD) is None


def test_counts_add_up() -> None:
    one, other = drawn(RANDOM, 10), drawn(RANDOM, 20)
    assert pictures(plus(one, other)) == 30
