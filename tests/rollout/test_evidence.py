"""The rules: what is refused, and what chance may do."""

from __future__ import annotations

import math

import pytest

from rollout.evidence import (
    Calls,
    Evidence,
    Rules,
    excess,
    judge_comparison,
    judge_interval,
    sign_test,
)
from rollout.gate import Comparison, Measured
from rollout.histogram import Histogram
from tasks import find_task

RULES = Rules()
TASK = find_task("classification")


def test_difference_of_the_textbook() -> None:
    """Newcombe 1998, 17:873-890, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339."""
    assert excess(56, 70, 48, 80, 0.975) == pytest.approx(0.0524, abs=5e-5)
    assert excess(48, 80, 56, 70, 0.975) == pytest.approx(-0.3339, abs=5e-5)


def test_nothing_to_compare() -> None:
    assert excess(0, 0, 0, 100, 0.99) < 0
    assert excess(3, 3, 0, 0, 0.99) > 0


def test_sign_test() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(8, 2) == pytest.approx(56 / 1024)
    assert sign_test(500, 500) == pytest.approx(0.5, abs=0.02)


def compared(**changes: object) -> Comparison:
    stable = Measured(["1"], ["sha256:a"], 430, 0, [], 5.0, 10.0)
    canary = Measured(["2"], ["sha256:b"], 430, 0, [], 5.0, 10.0)
    side = {**canary.__dict__, **{k: v for k, v in changes.items() if k in canary.__dict__}}
    rest = {k: v for k, v in changes.items() if k not in canary.__dict__}
    counts = {"agreement": 460, "stable_only": 10, "canary_only": 10, **rest}
    return Comparison("m", "classification", 500, stable, Measured(**side), **counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"stable_only": 22, "canary_only": 10}, ""),
        ({"stable_only": 24, "canary_only": 8}, "only stable right on 24"),
        ({"failures": 1, "errors": ["Unavailable: gone"]}, "1 of 500 images got no answer"),
        ({"revisions": ["1", "2"]}, "answers as revision ['1', '2'], not 2"),
        ({"digests": ["sha256:x"]}, "answers with digest"),
        ({"p95_ms": 69.0}, ""),
        ({"p95_ms": 71.0}, "95 % of calls within 71.0 ms"),
    ],
)
def test_gate(changes: dict[str, object], told: str) -> None:
    reasons = judge_comparison(compared(**changes), "2", "sha256:b", RULES)
    assert len(reasons) == bool(told), reasons
    assert told in "".join(reasons)


def calls(total: int, failed: int = 0, correct: int | None = None, ms: float = 10.0) -> Calls:
    seconds = Histogram()
    for _ in range(total - failed):
        seconds.observe(ms / 1000)
    good = total - failed
    return Calls(total, failed, good, good if correct is None else correct, seconds)


def said(stable: int, right: int, canary: int, good: int) -> Evidence:
    return Evidence(
        feedback_stable=Calls(labelled=stable, correct=right),
        feedback_canary=Calls(labelled=canary, correct=good),
    )


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (Evidence(calls(900), calls(100)), ""),
        (Evidence(calls(900, 1), calls(100, 1)), ""),
        (Evidence(calls(900), calls(100, 2)), "2 of 100 labelled requests failed; stable: 0"),
        (Evidence(calls(900, 18), calls(100, 2)), ""),
        (Evidence(calls(900), calls(100), unattributed=1), ""),
        (
            Evidence(calls(900), calls(100), unattributed=3),
            "3 of 103 labelled requests failed, 3 of",
        ),
        (
            Evidence(calls(900), calls(100), unexpected_artifact=1),
            "an artefact that nobody rolled out",
        ),
        (Evidence(calls(900, correct=860), calls(100, correct=92)), ""),
        (
            Evidence(calls(900, correct=860), calls(100, correct=80)),
            "images: 80 of 100 right",
        ),
        (Evidence(calls(900), calls(100, ms=65)), ""),
        (Evidence(calls(900), calls(100, ms=90)), "95 % of labelled requests within"),
        (Evidence(calls(900), calls(40, ms=900)), ""),
        (Evidence(counted_stable=calls(900), counted_canary=calls(100, 3)), "3 of 100 counted"),
        (said(900, 860, 100, 92), ""),
        (said(900, 860, 100, 80), "customers' feedback: 80 of 100 right; stable: 860 of 900"),
        (said(900, 860, 10, 2), ""),
    ],
)
def test_hold(evidence: Evidence, told: str) -> None:
    reasons = judge_interval(evidence, evidence, RULES, True, TASK)
    assert len(reasons) == bool(told), reasons
    assert told in "".join(reasons)


@pytest.mark.parametrize(
    ("canary", "early", "late"),
    [
        (calls(100, correct=88), False, True),
        (calls(100, correct=60), True, True),
        (calls(15, correct=1), False, False),
    ],
)
def test_before_the_end_of_a_hold_it_takes_more(canary: Calls, early: bool, late: bool) -> None:
    evidence = Evidence(calls(900, correct=860), canary)
    assert bool(judge_interval(evidence, evidence, RULES, False, TASK)) is early
    assert bool(judge_interval(evidence, evidence, RULES, True, TASK)) is late


def test_failures_that_the_stable_one_explains_are_not_blamed_on_the_canary() -> None:
    """Its own rate, and no more: calls that fail in any pod come back without a name."""
    evidence = Evidence(calls(900), calls(100), unattributed=9, counted_stable=calls(1000, 10))
    assert evidence.attributed_to_baseline == 9
    assert judge_interval(evidence, evidence, RULES, True, TASK) == []
    evidence.unattributed = 19
    assert evidence.attributed_to_baseline == 10
    assert "9 of 109 labelled requests failed, 9 of them of no revision" in "".join(
        judge_interval(evidence, evidence, RULES, True, TASK)
    )


def test_at_a_hundred_per_cent_time_is_compared_with_before() -> None:
    before = Evidence(calls(900), calls(100))
    now = Evidence(canary=calls(200, ms=500))
    so_far = Evidence.from_json(before.to_json())
    so_far.merge(now)
    assert "95 % of labelled requests" in "".join(judge_interval(now, so_far, RULES, False, TASK))


def test_evidence_survives_being_written_down() -> None:
    evidence = Evidence(calls(10, 1), calls(5, ms=700), 2, 1, calls(30), calls(20, 2))
    again = Evidence.from_json(evidence.to_json())
    assert again == evidence
    assert again.canary_requests == 20
    assert again.share == 0.4


def test_quantiles() -> None:
    seconds = Histogram()
    assert seconds.quantile(0.95) == 0.0
    for ms in range(1, 1001):
        seconds.observe(ms / 1000)
    assert seconds.quantile(0.95) == pytest.approx(0.95, rel=0.13)
    seconds.observe(1e6)
    assert seconds.counts[math.inf] == 1
    assert Histogram({math.inf: 3.0, 1.0: 1.0}).quantile(0.95) == 1.0
