"""Sends hostile requests and sees what comes of each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field

from tests.hostile.requests import Generator, Hostile

ALLOWED = {501, 503, 504, 505}
"""Statuses of 500 and more that are answers: not implemented, no room, late, HTTP version."""


@dataclass
class Outcome:
    """What came of many requests.

    Attributes:
        statuses: of answers, by status; 0 where the connection was closed without one.
        faults: answers that are wrong whatever was asked, with the request that got them.
        silent: whole requests that got no answer.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


async def attack(
    port: int, generator: Generator, first: int, count: int, connections: int = 16
) -> Outcome:
    """Send the requests ``first`` to ``first + count`` of a generator to a port of this machine."""
    outcome = Outcome()
    numbers = iter(range(first, first + count))

    async def one_after_the_other() -> None:
        for number in numbers:
            hostile = generator.draw(number)
            answer = await exchange(port, hostile)
            judge(
                outcome,
                f"{number} ({hostile.kind}, {hostile.segments[0][:120]!r})",
                hostile,
                answer,
            )

    await asyncio.gather(*(one_after_the_other() for _ in range(connections)))
    return outcome


async def exchange(port: int, hostile: Hostile) -> bytes:
    """Everything that comes back until the server closes or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for segment in hostile.segments:
            with contextlib.suppress(ConnectionError):
                writer.write(segment)
                await writer.drain()
        # Where no whole request was sent no answer is owed, and the client is the one who leaves.
        wait = 60.0 if hostile.complete else 0.3
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError, ConnectionError):
            while piece := await asyncio.wait_for(reader.read(1 << 16), wait):
                answer += piece
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def judge(outcome: Outcome, what: str, hostile: Hostile, answer: bytes) -> None:
    if not answer:
        outcome.statuses[0] += 1
        if hostile.complete:
            outcome.silent.append(what)
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else -1
    outcome.statuses[status] += 1
    wrong = status < 100 or (status >= 500 and status not in ALLOWED)
    if wrong or b"Traceback" in answer:
        outcome.faults.append(f"{what} -> {answer[:300]!r}")
    elif not body and not hostile.complete:
        # The server closed on bytes that it had not read; what it had sent last went with them.
        return
    elif status >= 400 and b"application/json" in head and not describes_an_error(body):
        outcome.faults.append(f"{what}: an error of another shape -> {answer[:300]!r}")


def describes_an_error(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and bool(document.get("error"))
