from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.errors import DeadlineExceededError
from serving.scheduling.batching import Batcher, BatchLimits
from tests.waiting import until

LIMITS = BatchLimits(
    calls=1, max_calls=1, requests=100, instances=100, size_bytes=100, max_delay_seconds=60
)


class Work:
    """Doubles numbers; every batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.cancelled: list[list[int]] = []

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.gates.append(asyncio.Event())
        try:
            await self.gates[-1].wait()
        except asyncio.CancelledError:
            self.cancelled.append(items)
            raise
        if -1 in items:
            raise ValueError("minus one")
        return [2 * item for item in items]

    def let_go(self) -> bool:
        """Of all batches that there are; False, for ``until``."""
        for gate in self.gates:
            gate.set()
        return False


@pytest.fixture
def work() -> Work:
    return Work()


def limits(**changes: Any) -> BatchLimits:
    return BatchLimits(**{**LIMITS.__dict__, **changes})


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def submit(batcher: Batcher[int, int], *items: int, instances: int = 1) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item, instances, 1)) for item in items]


async def test_a_lone_item_leaves_at_once_and_the_rest_leave_together(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    first = submit(batcher, 1)
    await turns()
    assert work.batches == [[1]]
    others = submit(batcher, 2, 3, 4)
    await turns()
    assert work.batches == [[1]]
    work.let_go()
    await until(lambda: len(work.batches) == 2)
    work.let_go()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert work.batches == [[1], [2, 3, 4]]


async def test_what_one_turn_of_the_loop_reads_leaves_together(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    tasks = submit(batcher, 1, 2, 3)
    await turns()
    assert work.batches == [[1, 2, 3]]
    work.let_go()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


@pytest.mark.parametrize(
    ("changes", "instances", "expected"),
    [
        ({"requests": 2}, 1, [[0], [1, 2], [3, 4], [5]]),
        ({"instances": 6}, 2, [[0], [1, 2, 3], [4, 5]]),
        ({"instances": 1}, 2, [[0], [1], [2], [3], [4], [5]]),  # over the bound: alone
        ({"size_bytes": 4}, 1, [[0], [1, 2, 3, 4], [5]]),
    ],
)
async def test_batches_are_bounded(
    work: Work, changes: dict[str, int], instances: int, expected: list[list[int]]
) -> None:
    batcher = Batcher(work, limits(**changes), 60)
    tasks = submit(batcher, 0, instances=instances)
    await turns()
    tasks += submit(batcher, 1, 2, 3, 4, 5, instances=instances)
    done = asyncio.gather(*tasks)
    while not done.done():
        work.let_go()
        await asyncio.sleep(0.001)
    assert await done == [0, 2, 4, 6, 8, 10]
    assert work.batches == expected


async def test_full_batches_leave_beyond_the_usual_calls_up_to_a_bound(work: Work) -> None:
    batcher = Batcher(work, limits(max_calls=3, requests=2), 60)
    tasks = submit(batcher, 0)
    await turns()
    tasks += submit(batcher, *range(1, 8))
    await turns()
    assert work.batches == [[0], [1, 2], [3, 4]]
    work.let_go()
    await until(lambda: len(work.batches) == 4)
    work.let_go()
    await until(lambda: len(work.batches) == 5)
    work.let_go()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(8)]
    assert work.batches[3:] == [[5, 6], [7]]


async def test_enough_may_be_less_than_a_full_batch(work: Work) -> None:
    batcher = Batcher(work, limits(max_calls=3, instances=10, enough=3), 60)
    tasks = submit(batcher, 0)
    await turns()
    tasks += submit(batcher, 1, 2)
    await turns()
    assert work.batches == [[0]]
    tasks += submit(batcher, 3)
    await turns()
    assert work.batches == [[0], [1, 2, 3]]
    work.let_go()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]


async def test_plenty_does_not_wait_for_the_end_of_the_turn(work: Work) -> None:
    batcher = Batcher(work, limits(max_calls=2, instances=3, plenty=2), 60)
    tasks = submit(batcher, *range(5))
    ended = asyncio.Event()
    asyncio.get_running_loop().call_soon(ended.set)
    assert await asyncio.gather(ended.wait(), turns(3)) and len(work.batches) == 2
    assert work.batches[0] == [0, 1]
    work.let_go()
    await until(lambda: sum(map(len, work.batches)) == 5)
    work.let_go()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]


async def test_plenty_waits_for_a_free_call(work: Work) -> None:
    batcher = Batcher(work, limits(plenty=2), 60)
    tasks = submit(batcher, *range(6))
    await turns()
    assert work.batches == [[0, 1]]
    work.let_go()
    await until(lambda: len(work.batches) == 2)
    assert work.batches[1] == [2, 3, 4, 5]
    work.let_go()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(6)]


async def test_the_next_batch_leaves_before_the_last_one_is_answered(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    order: list[str] = []

    async def answered(item: int) -> None:
        await batcher.submit(item, 1, 1)
        order.append(f"{item} answered, {len(work.batches)} batches begun")

    first = asyncio.create_task(answered(1))
    await turns()
    second = asyncio.create_task(answered(2))
    await turns()
    work.let_go()
    await first
    assert order == ["1 answered, 2 batches begun"]
    work.let_go()
    await second


async def test_nobody_is_held_for_longer_than_the_limit(work: Work) -> None:
    batcher = Batcher(work, limits(max_calls=2, max_delay_seconds=0.05), 60)
    tasks = submit(batcher, 0)
    await turns()
    started = asyncio.get_running_loop().time()
    tasks += submit(batcher, 1, 2)
    # Held, but not until the call before it is done: nothing has let that one go.
    await until(lambda: len(work.batches) == 2, 60)
    assert asyncio.get_running_loop().time() - started >= 0.04
    assert work.batches == [[0], [1, 2]]
    tasks += submit(batcher, 3)
    await asyncio.sleep(0.1)
    assert len(work.batches) == 2  # never more than max_calls
    work.let_go()
    await until(lambda: len(work.batches) == 3)
    work.let_go()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]


async def test_whoever_stops_waiting_is_left_out(work: Work) -> None:
    batcher = Batcher(work, limits(requests=2), 60)
    tasks = submit(batcher, 0)
    await turns()
    tasks += submit(batcher, 1, 2, 3)
    await turns()
    tasks[1].cancel()
    await turns()
    work.let_go()
    await until(lambda: len(work.batches) == 2)
    work.let_go()
    assert [await tasks[0], await tasks[2], await tasks[3]] == [0, 4, 6]
    assert tasks[1].cancelled()
    assert work.batches == [[0], [2, 3]]


async def test_who_goes_while_his_batch_is_under_way_harms_nobody(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    tasks = submit(batcher, 1, 2)
    await turns()
    tasks[0].cancel()
    await turns()
    work.let_go()
    assert await tasks[1] == 4
    assert tasks[0].cancelled()


async def test_a_batch_that_nobody_waits_for_any_more_is_cancelled(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    tasks = submit(batcher, 1, 2)
    await turns()
    tasks += submit(batcher, 3)
    tasks[0].cancel()
    await turns()
    assert work.cancelled == []
    tasks[1].cancel()
    await until(lambda: work.batches == [[1, 2], [3]])
    assert work.cancelled == [[1, 2]]
    work.let_go()
    assert await tasks[2] == 6


async def test_who_has_waited_too_long_is_refused(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 0.05)
    tasks = submit(batcher, 0)
    await turns()
    tasks += submit(batcher, 1)
    await asyncio.sleep(0.1)
    tasks += submit(batcher, 2)
    await turns()
    work.let_go()
    await until(lambda: len(work.batches) == 2)
    work.let_go()
    with pytest.raises(DeadlineExceededError):
        await tasks[1]
    assert [await tasks[0], await tasks[2]] == [0, 4]
    assert work.batches == [[0], [2]]


async def test_a_fault_reaches_all_of_its_batch_and_no_other(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    tasks = submit(batcher, 1, -1)
    await turns()
    tasks += submit(batcher, 2)
    await turns()
    work.let_go()
    await until(lambda: len(work.batches) == 2)
    work.let_go()
    for task in tasks[:2]:
        with pytest.raises(ValueError, match="minus one"):
            await task
    assert await tasks[2] == 4


async def test_new_limits_hold_from_the_next_batch_on(work: Work) -> None:
    batcher = Batcher(work, LIMITS, 60)
    tasks = submit(batcher, 0)
    await turns()
    tasks += submit(batcher, 1, 2, 3)
    batcher.limits = limits(requests=1)
    done = asyncio.gather(*tasks)
    while not done.done():
        work.let_go()
        await asyncio.sleep(0.001)
    assert work.batches == [[0], [1], [2], [3]]
