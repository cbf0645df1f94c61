"""Counters of servers that come and go."""

from __future__ import annotations

from monitoring.drift.series import KEPT_LOOKS, Increases, Series, baselines_of, counts_of

KEY = ("mnist", "2")


def series(name: str, pod: str = "a", **labels: str) -> Series:
    known = {"__name__": name, "instance": pod, "model_name": "mnist", "revision": "2"}
    return frozenset({**known, **labels}.items())


def predictions(pod: str = "a") -> Series:
    return series("vision_predictions_total", pod, label="7")


def grown(increases: Increases, **pods: float) -> int:
    found = increases.take({predictions(pod): value for pod, value in pods.items()})
    return found[KEY]["label"]["7"]


def test_what_was_counted_before_the_first_look_is_not_new() -> None:
    increases = Increases()
    assert grown(increases, a=100) == 0
    assert grown(increases, a=130) == 30


def test_pods_that_come_begin_and_go_lose_nothing() -> None:
    increases = Increases()
    grown(increases, a=100)
    assert grown(increases, a=110, b=7) == 17, "b is new"
    assert grown(increases, b=9) == 2, "a is gone"
    assert grown(increases, a=111, b=1) == 2, "a is back, b has begun anew"


def test_pods_that_are_gone_for_good_take_no_memory() -> None:
    increases = Increases()
    for number in range(5 * KEPT_LOOKS):
        grown(increases, keeps=number, **{f"pod{number // 100}": 1})
    # Of 50 pods those that were there in the last two thousand looks, and the one that stays.
    known = {dict(series)["instance"] for series in {**increases._older, **increases._last}}
    assert len(known) <= 21
    assert grown(increases, keeps=5 * KEPT_LOOKS) == 1


def test_of_servers_all_that_they_counted_is_taken() -> None:
    assert grown(Increases(since_start=True), a=100) == 100


def test_buckets_become_bins_and_pods_are_added() -> None:
    name = "vision_picture_brightness_ratio_bucket"
    snapshot = {
        series(name, pod, le=le): value
        for pod in ("a", "b")
        for le, value in (("0.02", 1.0), ("0.03", 4.0), ("+Inf", 5.0))
    }
    assert counts_of(snapshot) == {KEY: {"brightness": {"0.02": 2, "0.03": 6, "+Inf": 2}}}


def test_several_predictors_expose_one_baseline() -> None:
    snapshot = {
        series("vision_baseline_predictions", pod, statistic="label", bin="7"): 30.0
        for pod in ("a", "b")
    }
    assert baselines_of(snapshot) == {KEY: {"label": {"7": 30}}}
