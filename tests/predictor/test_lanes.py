from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from predictor.lanes import Lanes


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    with Lanes(3) as made:
        yield made


def name() -> str:
    return threading.current_thread().name


def hold(gate: threading.Event) -> str:
    assert gate.wait(5)
    return name()


def test_one_after_the_other_stays_on_the_first_thread(lanes: Lanes) -> None:
    gate = threading.Event()
    crowd = [lanes.submit(hold, gate) for _ in range(3)]
    gate.set()
    assert [future.result()[:11] for future in crowd] == [f"inference-{n}" for n in range(3)]
    deadline = time.monotonic() + 5
    while sum(lanes._tasks) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert lanes.submit(name).result().startswith("inference-0")


def test_the_first_that_is_free_comes_next(lanes: Lanes) -> None:
    first, second = threading.Event(), threading.Event()
    a, b = lanes.submit(hold, first), lanes.submit(hold, second)
    first.set()
    assert a.result().startswith("inference-0")
    while lanes._tasks[0]:
        time.sleep(0.001)
    assert lanes.submit(name).result().startswith("inference-0")
    second.set()
    assert b.result().startswith("inference-1")


def test_who_has_least_to_do_has_more_where_all_are_busy(lanes: Lanes) -> None:
    gate = threading.Event()
    futures = [lanes.submit(hold, gate) for _ in range(7)]
    assert lanes._tasks == [3, 2, 2]
    gate.set()
    assert sorted(future.result()[:11] for future in futures) == sorted(
        f"inference-{n % 3}" for n in range(7)
    )


def test_a_fault_is_its_callers_and_frees_the_thread(lanes: Lanes) -> None:
    with pytest.raises(ZeroDivisionError):
        lanes.submit(lambda: 1 // 0).result()
    while any(lanes._tasks):
        time.sleep(0.001)
    assert lanes.submit(pow, 2, 3).result() == 8


def test_what_is_cancelled_is_not_run_and_counts_no_more() -> None:
    with Lanes(1) as lanes:
        gate, ran = threading.Event(), threading.Event()
        held = lanes.submit(hold, gate)
        late = lanes.submit(ran.set)
        assert late.cancel()
        assert lanes._tasks == [1]
        gate.set()
        held.result()
    assert not ran.is_set()


def test_nothing_is_taken_after_the_end() -> None:
    lanes = Lanes(2)
    lanes.shutdown()
    with pytest.raises(RuntimeError):
        lanes.submit(name)
    assert lanes._tasks == [0, 0]
