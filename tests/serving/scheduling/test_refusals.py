from __future__ import annotations

import asyncio
import itertools

from serving.scheduling.refusals import PER_TURN, Refusals


async def test_a_few_per_turn_and_in_order() -> None:
    refusals, sent = Refusals(), list[int]()

    async def refuse(number: int) -> None:
        await refusals.turn()
        sent.append(number)

    count = 2 * PER_TURN + 1
    tasks = [asyncio.create_task(refuse(number)) for number in range(count)]
    seen = [0]
    while len(sent) < count:
        await asyncio.sleep(0)
        seen.append(len(sent))
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(steps) == PER_TURN
    assert sent == list(range(count))
    await asyncio.gather(*tasks)


async def test_whoever_has_gone_is_left_out() -> None:
    refusals = Refusals()
    first, second = (asyncio.create_task(refusals.turn()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
