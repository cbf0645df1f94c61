from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from serving.errors import OverloadedError
from transformer.large_pictures import LargePictures


@pytest.fixture
def lane() -> Iterator[LargePictures]:
    lane = LargePictures(100)
    yield lane
    lane.close()


async def test_more_pixels_than_may_wait_are_refused_until_there_is_room(
    lane: LargePictures,
) -> None:
    go = threading.Event()
    first = asyncio.create_task(lane.run(60, lambda: go.wait(10)))
    await asyncio.sleep(0)
    second = asyncio.create_task(lane.run(40, lambda: "second"))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="100 pixels"):
        await lane.run(1, lambda: None)
    go.set()
    assert await first
    assert await second == "second"
    await asyncio.sleep(0)
    assert await lane.run(100, lambda: "again") == "again"


async def test_one_alone_is_never_refused(lane: LargePictures) -> None:
    assert await lane.run(10_000, lambda: "done") == "done"


async def test_what_is_abandoned_while_it_waits_is_not_done_and_gives_its_room_back(
    lane: LargePictures,
) -> None:
    go, done = threading.Event(), []
    first = asyncio.create_task(lane.run(50, lambda: go.wait(10)))
    await asyncio.sleep(0)
    second = asyncio.create_task(lane.run(50, lambda: done.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.sleep(0)
    third = asyncio.create_task(lane.run(50, lambda: "third"))
    await asyncio.sleep(0)
    go.set()
    assert await first
    assert await third == "third"
    assert not done


async def test_a_failure_gives_its_room_back(lane: LargePictures) -> None:
    def fail() -> None:
        raise ValueError("damaged")

    for _ in range(5):
        with pytest.raises(ValueError, match="damaged"):
            await lane.run(100, fail)
        await asyncio.sleep(0)
