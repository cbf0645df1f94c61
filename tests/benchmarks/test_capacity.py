"""Knative's autoscaler as its source decides, and a service under it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.capacity.__main__ import (
    MEASURED,
    ONE_POD,
    RATES,
    WAKES,
    Prices,
    gone,
    main,
    needed,
    wake,
)
from benchmarks.capacity.autoscaler import Autoscaler, Settings
from benchmarks.capacity.day import day, once
from benchmarks.capacity.service import BREAKER, STEP, Kind, Nodes, simulate

FAST = replace(ONE_POD, per_second=1000.0)


def busy(autoscaler: Autoscaler, seconds: range, in_progress: float) -> None:
    for second in seconds:
        autoscaler.record(second, in_progress)


def steady(per_second: float, seconds: float) -> NDArray[np.float64]:
    """The same number of requests in each step."""
    return np.full(round(seconds / STEP), per_second * STEP)


def test_pods_are_what_is_in_progress_over_seven_tenths_of_the_target() -> None:
    autoscaler = Autoscaler(Settings(target=32, maximum=0))
    busy(autoscaler, range(60), 100.0)
    # 100 / 22.4, and no panic at five pods.
    assert autoscaler.decide(60, 5) == 5
    busy(autoscaler, range(60, 120), 10.0)
    # In a panic none would have gone.
    assert autoscaler.decide(120, 5) == 2
    # A target above what a pod is given at once is that.
    assert Settings(target=100, container_concurrency=10).aim == 7.0


def test_a_burst_is_a_panic_and_no_pod_goes_before_it_is_over() -> None:
    autoscaler = Autoscaler(Settings(maximum=0))
    busy(autoscaler, range(60), 10.0)
    assert autoscaler.decide(60, 1) == 1
    busy(autoscaler, range(60, 66), 200.0)
    # The last six seconds want nine, more than twice what is there.
    assert autoscaler.decide(66, 1) == 9
    busy(autoscaler, range(66, 120), 10.0)
    assert autoscaler.decide(120, 9) == 9
    busy(autoscaler, range(120, 180), 10.0)
    assert autoscaler.decide(180, 9) == 4, "at most half go at once"


def test_least_and_most_are_kept() -> None:
    autoscaler = Autoscaler(Settings(minimum=2, maximum=4))
    busy(autoscaler, range(60), 1000.0)
    assert autoscaler.decide(60, 4) == 4
    busy(autoscaler, range(60, 240), 0.0)
    assert autoscaler.decide(240, 2) == 2


@pytest.mark.parametrize(("_name", "row", "measured"), WAKES)
def test_a_wake_takes_what_was_measured(_name: str, row: tuple[Kind, ...], measured: float) -> None:
    assert wake(row) == pytest.approx(measured, abs=0.2)


def test_the_last_pod_goes_when_it_was_seen_to_go() -> None:
    # 12 to 21 s on a cluster with both at 10 s.
    assert 10 <= gone(10, 0) <= 13
    assert 19 <= gone(10, 10) <= 22
    assert 88 <= gone(60, 30) <= 93


def test_what_is_kept_does_not_wake_and_costs() -> None:
    asleep = simulate((FAST,), once(5.0), rest=200.0)
    awake = simulate((replace(FAST, settings=Settings(minimum=1)),), once(5.0), rest=200.0)
    assert asleep.woken == 1
    assert awake.woken == 0
    assert awake.wait(0.99) == 0.0
    assert asleep.pod_seconds["one pod"] < awake.pod_seconds["one pod"]
    assert asleep.pods[-1][1] == (0,)


def test_nothing_is_lost_and_what_is_too_much_is_refused() -> None:
    kind = replace(FAST, settings=Settings(maximum=1))
    found = simulate((kind,), steady(3000.0, 30.0), rest=60.0)
    answered = 1000.0 * (30.0 - kind.start)
    assert found.requests == pytest.approx(90_000)
    held = BREAKER + kind.settings.container_concurrency
    assert found.refused == pytest.approx(90_000 - answered - held, rel=0.01)
    assert found.wait(0.5) > 1.0


def test_a_pod_waits_for_a_node() -> None:
    nodes = Nodes(millicpu=1000, start=40.0, minimum=1)
    kind = replace(FAST, millicpu=900, settings=Settings(maximum=0))
    at_once = simulate((kind,), steady(1500.0, 60.0), None)
    later = simulate((kind,), steady(1500.0, 60.0), nodes)
    assert max(found for _, _, found in later.pods) > 1
    assert later.wait(0.99) > at_once.wait(0.99) + 5.0
    assert later.node_seconds > 60.0


def test_a_day_has_its_mean_and_its_night() -> None:
    trace = day(20.0, seed=1)
    assert len(trace) == round(86_400 / STEP)
    assert trace.mean() / STEP == pytest.approx(20.0, rel=0.02)
    hours = trace.reshape(24, -1).mean(axis=1)
    assert hours.min() < 0.2 * hours.max()
    assert np.array_equal(trace, day(20.0, seed=1))


def test_pods_nodes_and_money_grow_with_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split("|")[1:-1] for line in needed(MEASURED, Prices(), RATES)[2:]]
    for few, many in itertools.pairwise(rows):
        numbers = [[float(cell.replace(",", "")) for cell in row] for row in (few, many)]
        assert all(a <= b for a, b in zip(numbers[0][:-1], numbers[1][:-1], strict=True))
        assert numbers[1][-1] <= numbers[0][-1], "a request costs no more where there are more"
    assert main(["--days", "5", "--seconds", "300"]) == 0
    said = capsys.readouterr().out
    assert "| first answer after zero, two services | 4.1 | 4.1 |" in said
