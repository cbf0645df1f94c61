from __future__ import annotations

import pytest

from serving.errors import ERROR_CODE, OverloadedError
from serving.scheduling import admission
from serving.scheduling.admission import (
    FLOOR,
    MEMORY_SECONDS,
    STALL_SECONDS,
    WINDOW_SECONDS,
    Admission,
)


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(admission, "time", found)
    return found


def made(most: int = 1000, size: int = 1 << 30, wait: float = 0.1) -> Admission:
    return Admission(most, size, wait)


def fill(found: Admission, to: int) -> None:
    while found.requests < to:
        found.enter(1)


def work(found: Admission, clock: Clock, speed: float, seconds: float, depth: int) -> None:
    """``depth`` in progress, ``speed`` of them answered a second."""
    fill(found, depth)
    for _ in range(int(speed * seconds)):
        clock.now += 1 / speed
        found.leave(1, answered=True)
        fill(found, min(depth, found.limit))


def test_requests_are_bounded() -> None:
    found = made(most=3)
    fill(found, 3)
    with pytest.raises(OverloadedError) as caught:
        found.enter(1)
    assert caught.value.headers() == {ERROR_CODE: "overloaded", "retry-after": "1"}
    assert found.requests == 3
    found.leave(1, answered=False)
    found.enter(1)


def test_bytes_are_bounded_but_one_request_always_fits() -> None:
    found = made(size=100)
    found.enter(150)
    with pytest.raises(OverloadedError):
        found.enter(1)
    found.leave(150, answered=True)
    found.enter(60)
    found.enter(40)
    with pytest.raises(OverloadedError):
        found.check(1)


def test_the_limit_is_what_is_answered_in_the_wait(clock: Clock) -> None:
    found = made(most=5000, wait=0.1)
    assert found.limit == 5000
    work(found, clock, speed=4000, seconds=1, depth=300)
    assert found.limit == pytest.approx(400, rel=0.05)
    work(found, clock, speed=1000, seconds=1, depth=300)
    assert found.limit == pytest.approx(400, rel=0.05)  # the best of the last while


def test_an_old_speed_is_forgotten(clock: Clock) -> None:
    found = made(wait=0.1)
    work(found, clock, speed=4000, seconds=1, depth=300)
    work(found, clock, speed=1000, seconds=MEMORY_SECONDS + 1, depth=300)
    assert found.limit == pytest.approx(100, rel=0.05)


def test_a_slow_model_never_gets_fewer_than_the_floor(clock: Clock) -> None:
    found = made(wait=0.1)
    work(found, clock, speed=40, seconds=5, depth=200)
    assert found.limit == FLOOR


def test_little_to_do_is_not_slowness(clock: Clock) -> None:
    found = made(wait=0.1)
    work(found, clock, speed=50, seconds=10, depth=3)
    assert found.limit == 1000
    work(found, clock, speed=4000, seconds=1, depth=300)
    work(found, clock, speed=50, seconds=10, depth=3)
    assert found.limit == pytest.approx(400, rel=0.05)


def test_a_predictor_that_wakes_up_is_not_slow(clock: Clock) -> None:
    found = made(wait=0.1)
    fill(found, 200)
    clock.now += STALL_SECONDS + 3
    found.leave(1, answered=True)
    assert found.limit == 1000


def test_failures_say_nothing_of_the_speed(clock: Clock) -> None:
    found = made(wait=0.1)
    fill(found, 200)
    for _ in range(1000):
        clock.now += 0.01
        found.leave(1, answered=False)
        found.enter(1)
    clock.now += WINDOW_SECONDS
    assert found.limit == 1000


def test_a_body_that_is_larger_than_all_together_may_be_is_admitted_alone() -> None:
    admission = Admission(max_requests=8, max_bytes=100, wait_seconds=1.0)
    admission.check(300)
    for part in range(3):
        admission.reserve(100, 100 * part)
    admission.enter(0)
    with pytest.raises(OverloadedError, match="bytes"):
        admission.reserve(1, 0)
    admission.release(300)
    admission.leave(0, answered=True)
    assert admission.has_room(100)
