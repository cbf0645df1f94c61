"""What takes copies holds no more of them at a time than it has memory for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from accounts import experiments
from accounts.database import Database, open_database
from accounts.experiments import Plan, Variant
from accounts.migration import migrate
from edge.check import SHADOWED
from edge.shadow import MAX_WAITING, WORKERS, Shadow
from tests.waiting import until

NAME = "look"
HERE = "http://127.0.0.1:9"
"""Where nobody answers."""


class Upload:
    """A copy whose body arrives when its time has come."""

    def __init__(self, app: Any, arrives: asyncio.Event) -> None:
        self._app = app
        self._arrives = arrives
        self.status = 0

    async def send(self) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/models/mnist:predict",
            "query_string": b"",
            "headers": [(SHADOWED.encode(), NAME.encode())],
        }
        await self._app(scope, self._receive, self._take)

    async def _receive(self) -> dict[str, Any]:
        await self._arrives.wait()
        return {"type": "http.request", "body": b"picture", "more_body": False}

    async def _take(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)


async def test_copies_that_are_still_arriving_take_a_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/accounts.db"
    migrate(url)
    database = Database(open_database(url))
    plan = Plan(NAME, "mnist", (Variant("live", "1", HERE),), shadow=experiments.Shadow("2", HERE))
    with database.write() as session:
        experiments.start(session, plan, "acc_1")
    app = Shadow(database, CollectorRegistry()).app()
    now, later = asyncio.Event(), asyncio.Event()
    now.set()
    async with app.router.lifespan_context(app):
        first = Upload(app, now)
        for _ in range(3000):
            # Until it has read which experiments are running.
            await first.send()
            if first.status != 404:
                break
            await asyncio.sleep(0.01)
        assert first.status == 202
        slow = [Upload(app, later) for _ in range(MAX_WAITING + WORKERS + 4)]
        sending = [asyncio.create_task(upload.send()) for upload in slow]
        await until(lambda: all(upload.status for upload in slow[MAX_WAITING:]), 30)
        later.set()
        await asyncio.gather(*sending)
    statuses = [upload.status for upload in slow]
    assert statuses.count(429) >= WORKERS + 4
    assert set(statuses) == {202, 429}
