"""Which thread computes what, when, and together with whom."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.engines import Arrays
from predictor.workers import BatchQueue, WorkerPool, batch_queue, worker
from predictor.workers import pool as module
from serving.errors import DeadlineExceededError
from tests.waiting import until

ROWS = 4

PASS_SECONDS = batch_queue.PASS_SECONDS


class Doubling:
    """Doubles rows; every pass waits until it is let go. A row below zero is a fault."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, list[int]]] = []
        self.gates: list[threading.Event] = []

    def __call__(self, rows: NDArray[Any]) -> Arrays:
        gate = threading.Event()
        self.begun.append((threading.current_thread().name, rows.tolist()))
        self.gates.append(gate)
        assert gate.wait(5)
        if (rows < 0).any():
            raise ValueError("below zero")
        return (rows * 2,)

    @property
    def sizes(self) -> list[int]:
        return [len(rows) for _, rows in self.begun]

    def let_go(self) -> bool:
        """Of all passes that there are; False, for ``until``."""
        for gate in list(self.gates):
            gate.set()
        return False


def submit(queue: BatchQueue, *batches: list[int]) -> list[asyncio.Task[Arrays]]:
    return [asyncio.create_task(queue.submit(np.array(batch))) for batch in batches]


async def answers(network: Doubling, tasks: list[asyncio.Task[Arrays]]) -> list[list[int]]:
    await until(lambda: network.let_go() or all(task.done() for task in tasks))
    return [rows.tolist() for task in tasks for rows in task.result()]


async def busy(
    pool: WorkerPool, network: Doubling
) -> tuple[BatchQueue, list[asyncio.Task[Arrays]]]:
    """A queue, and the task of its first pass, which has begun."""
    queue = BatchQueue(pool, network, ROWS)
    tasks = submit(queue, [1])
    await until(lambda: network.sizes == [1])
    return queue, tasks


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """These passes take as long as the test lets them; it says so where that matters."""
    monkeypatch.setattr(batch_queue, "PASS_SECONDS", 1e9)


@pytest.fixture
def network() -> Doubling:
    return Doubling()


@pytest.fixture
async def pool(network: Doubling) -> AsyncIterator[WorkerPool]:
    with WorkerPool(2) as made:
        yield made
        network.let_go()


async def test_what_waits_when_a_pass_ends_is_the_next_one(
    pool: WorkerPool, network: Doubling
) -> None:
    queue, tasks = await busy(pool, network)
    tasks += submit(queue, [2], [3, 4])
    await asyncio.sleep(0.02)
    tasks += submit(queue, [5], [6])
    await asyncio.sleep(0.02)
    assert network.sizes == [1]  # the other thread is the event loop's as long as calls are small
    network.let_go()
    await until(lambda: network.sizes == [1, 4])
    assert await answers(network, tasks) == [[2], [4], [6, 8], [10], [12]]
    assert network.begun == [
        ("inference-0", [1]),
        ("inference-0", [2, 3, 4, 5]),
        ("inference-0", [6]),
    ]


async def test_the_next_pass_begins_without_the_event_loop(
    pool: WorkerPool, network: Doubling
) -> None:
    queue, tasks = await busy(pool, network)
    tasks += submit(queue, [2])
    await asyncio.sleep(0)
    network.let_go()
    deadline = time.monotonic() + 5
    while len(network.begun) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)  # the loop stands still
    assert network.sizes == [1, 1]
    assert await answers(network, tasks) == [[2], [4]]


async def test_small_calls_that_would_wait_for_long_are_helped_by_the_spare_thread(
    pool: WorkerPool, network: Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, tasks = await busy(pool, network)
    queue.record_duration(ROWS, ROWS * 10.0)  # a row takes ten seconds
    tasks += submit(queue, [2])
    await until(lambda: network.sizes == [1, 1])
    assert [name for name, _ in network.begun] == ["inference-0", "inference-1"]
    tasks += submit(queue, [3], [4], [5], [6, 7, 8])
    await asyncio.sleep(0.01)
    network.gates[1].set()
    await until(lambda: len(network.begun) == 3)
    assert network.begun[2] == ("inference-1", [3, 4])  # half a pass
    monkeypatch.setattr(module, "SPARE_HELP_SECONDS", 1e9)
    network.let_go()
    expected = [[2], [4], [6], [8], [10], [12, 14, 16]]
    assert await answers(network, tasks) == expected
    assert network.begun[3:] == [("inference-0", [5, 6, 7, 8])]


async def test_what_the_first_thread_is_about_to_do_is_left_to_it(
    pool: WorkerPool, network: Doubling
) -> None:
    queue = BatchQueue(pool, network, ROWS)
    queue.record_duration(ROWS, ROWS * module.SPARE_HELP_SECONDS / 10)
    tasks = submit(queue, [1])
    await until(lambda: network.sizes == [1])
    tasks += submit(queue, [2], [3])
    await asyncio.sleep(0.02)
    assert network.sizes == [1]
    tasks += submit(queue, [4, 5, 6], [7, 8, 9], [10, 11, 12])  # eleven tenths wait
    await until(lambda: network.sizes == [1, 2])
    assert network.begun[1] == ("inference-1", [2, 3])
    assert len(await answers(network, tasks)) == 6


def test_what_a_row_takes_is_learnt_from_passes_the_more_the_larger_they_are() -> None:
    with WorkerPool(1) as pool:
        queue = BatchQueue(pool, Doubling(), ROWS)
        queue.record_duration(2, 2.0)
        assert queue._seconds_per_row == 1
        queue.record_duration(4, 8.0)
        learnt = 1 + batch_queue.NEWEST_WEIGHT
        assert queue._seconds_per_row == pytest.approx(learnt)
        queue.record_duration(1, learnt + 4)
        assert queue._seconds_per_row == pytest.approx(learnt + batch_queue.NEWEST_WEIGHT)


@pytest.mark.parametrize(
    ("row", "most"), [(0.0, ROWS), (1e-4, ROWS), (0.006, 3), (0.02, 1), (0.7, 1)]
)
def test_rows_are_computed_together_as_far_as_they_do_not_take_long(
    row: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_queue, "PASS_SECONDS", PASS_SECONDS)
    with WorkerPool(1) as pool:
        assert BatchQueue(pool, Doubling(), ROWS, seconds_per_row=row).max_instances == most


async def test_of_a_slow_network_every_thread_takes_a_row(
    pool: WorkerPool, network: Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_queue, "PASS_SECONDS", PASS_SECONDS)
    queue = BatchQueue(pool, network, ROWS, seconds_per_row=0.7)
    tasks = submit(queue, [1], [2], [3, 4])
    await until(lambda: len(network.begun) == 2)
    # Which thread gets which row is theirs to say.
    assert {name for name, _ in network.begun} == {"inference-0", "inference-1"}
    assert sorted(rows for _, rows in network.begun) == [[1], [2]]
    assert await answers(network, tasks) == [[2], [4], [6, 8]]
    assert network.sizes == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("found", "threads", "expected"),
    [({0, 1}, 2, [1, 0]), ({2, 5, 7}, 3, [7, 5, 2]), ({0, 1, 2, 3}, 2, []), ({0}, 1, [])],
)
def test_threads_have_processors_of_their_own_where_nobody_else_has_them(
    found: set[int], threads: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.os, "sched_getaffinity", lambda pid: found, raising=False)
    assert worker.own_processors(threads) == expected
    monkeypatch.delattr(worker.os, "sched_getaffinity")
    assert worker.own_processors(threads) == []


def test_each_thread_is_on_its_processor() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system binds no threads")
    own = os.sched_getaffinity(0)
    with WorkerPool(len(own)) as pool:
        (first, *_) = sorted(own, reverse=True)
        expected = {first} if len(own) > 1 else own
        assert pool.run_on_first_worker(os.sched_getaffinity, 0) == expected
    assert os.sched_getaffinity(0) == own


def test_it_computes_where_it_may_not_choose_its_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(module, "own_processors", lambda threads: [0, 1])
    monkeypatch.setattr(worker.os, "sched_setaffinity", refuse, raising=False)
    with WorkerPool(2) as pool:
        assert pool.run_on_first_worker(pow, 2, 3) == 8


async def test_a_full_chunk_takes_a_thread_beside_the_small_ones(
    pool: WorkerPool, network: Doubling
) -> None:
    queue = BatchQueue(pool, network, ROWS)
    small = submit(queue, [1])
    await until(lambda: network.sizes == [1])
    large = submit(queue, [2, 3, 4, 5])
    await until(lambda: network.sizes == [1, 4])
    assert [name for name, _ in network.begun] == ["inference-0", "inference-1"]
    assert await answers(network, small + large) == [[2], [4, 6, 8, 10]]


async def test_a_large_call_is_cut_and_its_rest_finds_company(
    pool: WorkerPool, network: Doubling
) -> None:
    queue = BatchQueue(pool, network, ROWS)
    tasks = submit(queue, list(range(10)))
    await until(lambda: len(network.begun) == 2)
    tasks += submit(queue, [10], [11])
    await asyncio.sleep(0.01)
    assert await answers(network, tasks) == [[2 * n for n in range(10)], [20], [22]]
    assert sorted(rows for _, rows in network.begun) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


async def test_full_and_small_passes_take_turns_on_a_single_thread(network: Doubling) -> None:
    with WorkerPool(1) as pool:
        queue = BatchQueue(pool, network, ROWS)
        tasks = submit(queue, [0])
        await until(lambda: network.sizes == [1])
        tasks += submit(queue, list(range(12)), [1, 2, 3], [4, 5], [6])
        await asyncio.sleep(0.01)
        await answers(network, tasks)
    assert network.sizes == [1, 4, 3, 4, 3, 4]


async def test_networks_take_turns(network: Doubling) -> None:
    other = Doubling()
    with WorkerPool(1) as pool:
        first, second = BatchQueue(pool, network, 1), BatchQueue(pool, other, 1)
        tasks = submit(first, [1])
        await until(lambda: network.sizes == [1])
        tasks += submit(first, [2], [3]) + submit(second, [4], [5])
        await asyncio.sleep(0.01)
        order: list[int] = []
        while len(order) < 5:
            begun = [rows[0] for _, rows in network.begun + other.begun]
            order += [row for row in begun if row not in order]
            network.let_go()
            other.let_go()
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
    assert order == [1, 4, 2, 5, 3]


async def test_who_has_stopped_waiting_is_left_out(pool: WorkerPool, network: Doubling) -> None:
    queue, tasks = await busy(pool, network)
    gone, *rest = submit(queue, [2], [3])
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    assert await answers(network, tasks + rest) == [[2], [6]]
    assert network.begun[1:] == [("inference-0", [3])]


async def test_who_has_waited_too_long_is_refused(
    pool: WorkerPool, network: Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, tasks = await busy(pool, network)
    late = submit(queue, [2])
    await asyncio.sleep(0.01)
    monkeypatch.setattr(batch_queue, "MAX_WAIT_SECONDS", 0.001)
    network.let_go()
    with pytest.raises(DeadlineExceededError):
        await late[0]
    assert await answers(network, tasks) == [[2]]
    assert network.sizes == [1]


async def test_bytes_are_bounded_too(
    pool: WorkerPool, network: Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_queue, "MAX_BATCH_BYTES", 16)
    queue, tasks = await busy(pool, network)
    tasks += submit(queue, [2], [3], [4], [5, 6, 7])
    await asyncio.sleep(0.01)
    assert await answers(network, tasks) == [[2], [4], [6], [8], [10, 12, 14]]
    assert network.sizes == [1, 2, 1, 3]


async def test_a_fault_is_everybodys_in_the_pass_and_frees_the_thread(
    pool: WorkerPool, network: Doubling
) -> None:
    queue, tasks = await busy(pool, network)
    tasks += submit(queue, [2], [-1], [3, 4, 5])
    await asyncio.sleep(0.01)
    await until(lambda: network.let_go() or all(task.done() for task in tasks))
    assert [str(task.exception()) for task in tasks] == [
        "None",
        "below zero",
        "below zero",
        "None",
    ]


async def test_of_a_call_that_fails_nothing_more_is_computed(network: Doubling) -> None:
    with WorkerPool(1) as pool:
        queue = BatchQueue(pool, network, 1)
        (failing,) = submit(queue, [-1, 1, 2])
        await until(lambda: network.let_go() or failing.done())
        with pytest.raises(ValueError, match="below zero"):
            failing.result()
        (after,) = submit(queue, [7])
        assert await answers(network, [after]) == [[14]]
    # The second may have begun before the first one's fault was handed out.
    assert [rows for _, rows in network.begun][-1] == [7]
    assert len(network.begun) <= 3


async def test_one_after_the_other_stays_on_the_first_thread(
    pool: WorkerPool, network: Doubling
) -> None:
    queue = BatchQueue(pool, network, 1)
    for number in range(5):
        (task,) = submit(queue, [number])
        await answers(network, [task])
        await until(lambda: pool._workers[0].idle)
    assert {name for name, _ in network.begun} == {"inference-0"}


def test_the_first_thread_does_what_comes_before(pool: WorkerPool) -> None:
    assert pool.run_on_first_worker(lambda: threading.current_thread().name) == "inference-0"
    assert pool.run_on_first_worker(pow, 2, 3) == 8
    with pytest.raises(ZeroDivisionError):
        pool.run_on_first_worker(lambda: 1 // 0)


async def test_what_has_been_answered_is_not_kept(pool: WorkerPool) -> None:
    seen: list[weakref.ref[Any]] = []

    def network(rows: NDArray[Any]) -> Arrays:
        found = rows + 1
        seen.append(weakref.ref(found))
        return (found,)

    queue = BatchQueue(pool, network, ROWS)
    await queue.submit(np.array([1]))
    await asyncio.sleep(0.01)  # the turn of the loop that has brought the answer holds it, too
    await until(lambda: pool._workers[0].idle)
    gc.collect()
    assert [reference() for reference in seen] == [None]


def test_a_thread_survives_the_end_of_the_loop(pool: WorkerPool, network: Doubling) -> None:
    async def leave() -> None:
        queue = BatchQueue(pool, network, ROWS)
        (task,) = submit(queue, [1])
        await until(lambda: network.sizes == [1])
        task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(leave()))
    thread.start()
    thread.join()
    network.let_go()
    assert pool.run_on_first_worker(pow, 2, 2) == 4


async def test_the_end_waits_for_what_is_being_done(network: Doubling) -> None:
    pool = WorkerPool(3)
    queue = BatchQueue(pool, network, ROWS)
    (task,) = submit(queue, [1])
    await until(lambda: network.sizes == [1])
    closing = threading.Thread(target=pool.close)
    closing.start()
    await asyncio.sleep(0.01)
    assert closing.is_alive()
    assert await answers(network, [task]) == [[2]]
    closing.join(5)
    assert not any(worker.thread.is_alive() for worker in pool._workers)


async def test_a_batch_that_takes_too_long_is_refused_where_it_cannot_be_stopped(
    network: Doubling, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(1, max_batch_seconds=0.05) as pool:
        queue = BatchQueue(pool, network, ROWS)
        (late,) = submit(queue, [1])
        with pytest.raises(DeadlineExceededError, match="the forward pass took more than"):
            await late
        assert len(network.begun) == 1  # it is still being computed
        (after,) = submit(queue, [2])
        assert await answers(network, [after]) == [[4]]
    assert caplog.text.count("cannot be stopped") == 1


async def test_a_batch_is_stopped_once_it_takes_too_long(network: Doubling) -> None:
    stopped: list[int] = []

    def stop(thread: int) -> bool:
        stopped.append(thread)
        network.let_go()
        return True

    with WorkerPool(2, max_batch_seconds=0.05) as pool:
        queue = BatchQueue(pool, network, ROWS, stop)
        with pytest.raises(DeadlineExceededError):
            await queue.submit(np.array([1]))
        first = pool.run_on_first_worker(threading.get_ident)
    assert stopped[0] == first


async def test_each_request_gets_its_rows_of_every_output(pool: WorkerPool) -> None:
    def network(rows: NDArray[Any]) -> Arrays:
        return rows + 1, np.stack([rows, -rows], axis=1)

    queue = BatchQueue(pool, network, ROWS)
    tasks = submit(queue, [1], [2, 3], list(range(10)))  # the last one in three passes
    for batch, task in zip(([1], [2, 3], list(range(10))), tasks, strict=True):
        more, pairs = await task
        assert more.tolist() == [n + 1 for n in batch]
        assert pairs.tolist() == [[n, -n] for n in batch]


async def test_stuck_is_what_no_worker_gets_out_of(network: Doubling) -> None:
    with WorkerPool(1, max_batch_seconds=0.05) as pool:
        queue = BatchQueue(pool, network, ROWS)
        assert pool.stuck_seconds() == 0
        (task,) = submit(queue, [1])
        await until(lambda: pool.stuck_seconds() > 0.05)
        network.let_go()
        await until(lambda: pool.stuck_seconds() == 0)
        with pytest.raises(DeadlineExceededError):
            await task
