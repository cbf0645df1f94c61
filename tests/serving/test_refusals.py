from __future__ import annotations

import asyncio
from functools import partial

from serving.refusals import A_TURN, Refusals


async def test_a_few_in_each_turn_and_in_order() -> None:
    refusals, sent = Refusals(), list[int]()
    for number in range(2 * A_TURN + 1):
        refusals.add(partial(sent.append, number))
    assert sent == []
    seen = []
    for _ in range(4):
        await asyncio.sleep(0)
        seen.append(len(sent))
    assert seen == [A_TURN, 2 * A_TURN, 2 * A_TURN + 1, 2 * A_TURN + 1]
    assert sent == list(range(2 * A_TURN + 1))


async def test_what_comes_later_goes_out_as_well() -> None:
    refusals, sent = Refusals(), list[int]()
    for number in range(3):
        refusals.add(partial(sent.append, number))
        await asyncio.sleep(0)
        assert sent == list(range(number + 1))
    refusals.add(partial(sent.append, 3))
    refusals.add(partial(sent.append, 4))
    await asyncio.sleep(0)
    assert sent == [0, 1, 2, 3, 4]


async def test_one_that_is_added_by_another_waits_for_its_turn() -> None:
    refusals, sent = Refusals(), list[str]()
    refusals.add(lambda: refusals.add(lambda: sent.append("second")))
    await asyncio.sleep(0)
    assert sent == []
    await asyncio.sleep(0)
    assert sent == ["second"]
    await asyncio.sleep(0)
    assert sent == ["second"]
