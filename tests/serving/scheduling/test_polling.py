from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from predictor.settings import PredictorSettings
from serving import settings
from serving.scheduling import polling
from serving.scheduling.admission import Admission
from serving.scheduling.polling import BusyPoll, affordable_seconds
from transformer.settings import TransformerSettings

MOMENT = 0.02


class Yields:
    """Counts how often the processor was offered to others: once a turn of busy polling."""

    count = 0


@pytest.fixture
def yields(monkeypatch: pytest.MonkeyPatch) -> Yields:
    found = Yields()

    def sched_yield() -> None:
        found.count += 1

    monkeypatch.setattr(polling.os, "sched_yield", sched_yield)
    return found


async def turns_during(found: Yields, seconds: float) -> int:
    before = found.count
    await asyncio.sleep(seconds)
    return found.count - before


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    (uvloop.run if loop == "uvloop" else asyncio.run)(work)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_loop_turns_for_a_moment_and_then_sleeps(yields: Yields, loop: str) -> None:
    async def check() -> None:
        poll = BusyPoll(MOMENT, 4)
        poll.saw(1)
        assert await turns_during(yields, MOMENT / 2) > 10
        await asyncio.sleep(MOMENT)
        assert await turns_during(yields, MOMENT) == 0

    run(loop, check())


def test_whatever_happens_within_a_moment_makes_it_longer(yields: Yields) -> None:
    async def check() -> None:
        poll = BusyPoll(MOMENT, 4)
        for _ in range(4):
            poll.saw(1)
            assert await turns_during(yields, MOMENT / 2) > 10

    asyncio.run(check())


def test_one_turn_follows_the_other_however_often_something_happens(yields: Yields) -> None:
    async def check() -> None:
        poll = BusyPoll(MOMENT, 4)
        for _ in range(100):
            poll.saw(1)
        before = yields.count
        await asyncio.sleep(0)
        assert yields.count - before == 1

    asyncio.run(check())


def test_with_more_requests_the_loop_sleeps_as_any_other(yields: Yields) -> None:
    async def check() -> None:
        poll = BusyPoll(MOMENT, 4)
        poll.saw(4)
        assert await turns_during(yields, MOMENT / 4) > 1
        poll.saw(5)
        await asyncio.sleep(0)
        assert await turns_during(yields, MOMENT) == 0
        poll.saw(4)
        assert await turns_during(yields, MOMENT / 4) > 1

    asyncio.run(check())


def test_the_request_that_begins_it_does_not_wait_for_others(yields: Yields) -> None:
    async def check() -> None:
        BusyPoll(MOMENT, 4).saw(1)
        assert yields.count == 0

    asyncio.run(check())


def test_no_moment_is_no_busy_polling(yields: Yields) -> None:
    async def check() -> None:
        BusyPoll(0.0, 4).saw(1)
        assert await turns_during(yields, MOMENT) == 0

    asyncio.run(check())


def test_sockets_are_served_meanwhile() -> None:
    async def check() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        poll = BusyPoll(60.0, 4)
        poll.saw(1)
        writer.write(b"ping")
        assert await asyncio.wait_for(reader.read(), 5) == b"ping"
        poll.saw(5)
        writer.close()
        await writer.wait_closed()
        server.close()

    asyncio.run(check())


def test_admission_tells_of_every_request_that_comes_or_goes() -> None:
    class Told(BusyPoll):
        def __init__(self) -> None:
            super().__init__(0.0, 0)
            self.seen: list[int] = []

        def saw(self, requests: int) -> None:
            self.seen.append(requests)

    told = Told()
    admission = Admission(10, 1 << 20, 1.0, told)
    admission.enter(1)
    admission.enter(1)
    admission.leave(1, answered=True)
    admission.leave(1, answered=False)
    assert told.seen == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("processors", "quota", "affordable"), [(1, 1.0, False), (4, 0.5, False), (4, 1.0, True)]
)
def test_nobody_is_kept_waiting_for_it(
    monkeypatch: pytest.MonkeyPatch, processors: int, quota: float, affordable: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    monkeypatch.setattr(polling, "cpu_quota", lambda: quota)
    assert affordable_seconds(0.5) == (0.5 if affordable else 0.0)


def test_the_transformer_polls_during_a_few_requests_and_the_predictor_between_calls(
    yields: Yields, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "affordable_seconds", lambda wanted: wanted)

    async def check() -> None:
        for kind, during in ((TransformerSettings, True), (PredictorSettings, False)):
            admission = kind(busy_poll_seconds=MOMENT).admission()
            admission.enter(1)
            assert (await turns_during(yields, MOMENT / 4) > 1) is during
            admission.leave(1, answered=True)
            assert await turns_during(yields, MOMENT / 4) > 1
            await asyncio.sleep(MOMENT)

    asyncio.run(check())
