"""``python -m edge.shadow``: asks a shadow what a revision was asked, and compares the answers.

Envoy sends it copies of requests and does not wait. Each is sent to both, in an order of chance and
past the edge: nobody sees either answer, and nothing of it is billed. What it has no time for is
dropped and counted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from prometheus_client import REGISTRY, CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from accounts.database import Database, open_database
from accounts.experiments import ExperimentView, running
from accounts.settings import DatabaseSettings
from accounts.shadows import Example, Tally, add
from common.logs import configure_logging
from common.metrics import Counts, Distributions, listen_for_metrics
from common.settings import SettingError, read_settings
from edge.check import SHADOWED
from edge.comparison import compare

MAX_BODY_BYTES = 16 << 20
MAX_WAITING = 16
WORKERS = 2
ANSWER_SECONDS = 30.0
REFRESH_SECONDS = 1.5
PASSED_HEADERS = (
    *("accept", "content-encoding", "content-type", "inference-header-content-length"),
)
"""None that says on whose account it is: the model server's log would count it as an answer."""

logger = logging.getLogger("edge.shadow")


@dataclass(frozen=True)
class Copy:
    """A request as it came."""

    experiment: str
    target: str
    """Path and query."""
    headers: Mapping[str, str]
    body: bytes
    request_id: str


@dataclass(frozen=True)
class Answer:
    """``status`` is 0 where there was none."""

    status: int
    revision: str
    body: bytes
    seconds: float


class Shadow:
    """Takes copies, compares, and writes what came of it into the database."""

    def __init__(self, database: Database, registry: CollectorRegistry = REGISTRY) -> None:
        self._database = database
        self._waiting: asyncio.Queue[Copy] = asyncio.Queue()
        self._arriving = 0
        """Copies that are not whole yet; with those that wait no more than ``MAX_WAITING``."""
        self._running: dict[str, ExperimentView] = {}
        self._tallies: dict[str, Tally] = defaultdict(Tally)
        self._outcomes = Counts(
            "vision_shadow_comparisons",
            "Copies of requests, by what became of them.",
            ("experiment", "outcome"),
            registry,
        )
        self._seconds = Distributions(
            "vision_shadow_seconds",
            "Time of their answers.",
            ("experiment", "side"),
            registry,
        )

    def app(self) -> Starlette:
        """Takes any path; answers 202 before anything is asked."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            limits = httpx.Limits(max_connections=2 * WORKERS)
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS, limits=limits) as client:
                tasks = [asyncio.create_task(self._work(client)) for _ in range(WORKERS)]
                tasks.append(asyncio.create_task(self._keep()))
                yield
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._write()

        async def healthy(_: Request) -> Response:
            return Response()

        routes = [
            Route("/-/ready", healthy),
            Route("/{path:path}", self._take, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def _take(self, request: Request) -> Response:
        experiment = request.headers.get(SHADOWED, "")
        if experiment not in self._running:
            return Response(status_code=404)
        if self._arriving + self._waiting.qsize() >= MAX_WAITING:
            self._count(experiment, "dropped")
            return Response(status_code=429)
        self._arriving += 1
        try:
            body = await _body(request)
        except ClientDisconnect:
            # Its client gave up, and with it Envoy.
            return Response(status_code=400)
        finally:
            self._arriving -= 1
        if body is None:
            self._count(experiment, "dropped")
            return Response(status_code=413)
        headers = {n: request.headers[n] for n in PASSED_HEADERS if n in request.headers}
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        told = request.headers.get("x-request-id", "")
        self._waiting.put_nowait(Copy(experiment, target, headers, body, told))
        return Response(status_code=202)

    async def _work(self, client: httpx.AsyncClient) -> None:
        while True:
            copy = await self._waiting.get()
            try:
                await self._compare(client, copy)
            except Exception:
                logger.exception("a copy could not be compared")

    async def _compare(self, client: httpx.AsyncClient, copy: Copy) -> None:
        view = self._running.get(copy.experiment)
        if view is None or view.shadow is None:
            return
        # Whichever variant has answered: it may be the shadow itself.
        targets = {"baseline": view.control.target, "shadow": view.shadow.target}
        answers = {}
        # One after the other, so that neither takes the other's processor; either may be first.
        for side in random.sample(sorted(targets), 2):
            answers[side] = await _ask(client, targets[side], copy)
        baseline, shadow = answers["baseline"], answers["shadow"]
        for side, answer in answers.items():
            if answer.status != 200:
                self._count(copy.experiment, f"{side}_failed")
        if not baseline.status == shadow.status == 200:
            return
        if (baseline.revision, shadow.revision) != (view.control.revision, view.shadow.revision):
            self._count(copy.experiment, "off_revision")
            return
        found = compare(baseline.body, shadow.body)
        tally = self._tallies[copy.experiment]
        tally.compared += 1
        tally.agreeing += found.agrees
        tally.max_difference = max(tally.max_difference, found.max_difference)
        slower = 1000 * (shadow.seconds - baseline.seconds)
        tally.baseline_ms += 1000 * baseline.seconds
        tally.shadow_ms += 1000 * shadow.seconds
        tally.slower_ms += slower
        tally.slower_squares += slower**2
        if not found.agrees:
            tally.examples.append(
                Example(copy.request_id, found.baseline, found.shadow, found.max_difference)
            )
        self._outcomes.labels(copy.experiment, "agreeing" if found.agrees else "differing").add()
        for side, answer in answers.items():
            self._seconds.labels(copy.experiment, side).observe(answer.seconds)

    def _count(self, experiment: str, outcome: str) -> None:
        tally = self._tallies[experiment]
        setattr(tally, outcome, getattr(tally, outcome) + 1)
        self._outcomes.labels(experiment, outcome).add()

    async def _keep(self) -> None:
        """Write what has come together, and read what is running; until it is cancelled."""
        while True:
            await self._write()
            try:
                self._running = await asyncio.to_thread(self._read)
            except SQLAlchemyError:
                logger.warning("the database does not answer")
            await asyncio.sleep(REFRESH_SECONDS)

    async def _write(self) -> None:
        tallies, self._tallies = self._tallies, defaultdict(Tally)
        for experiment, tally in tallies.items():
            try:
                await asyncio.to_thread(self._add, experiment, tally)
            except SQLAlchemyError:
                logger.warning("the database does not answer: a second's comparisons are lost")

    def _add(self, experiment: str, tally: Tally) -> None:
        with self._database.write() as session:
            add(session, experiment, tally)

    def _read(self) -> dict[str, ExperimentView]:
        with self._database.read() as session:
            found = running(session.connection())
        return {view.name: view for view in found if view.shadow is not None}


async def _body(request: Request) -> bytes | None:
    """None where it is too large; raises ClientDisconnect."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


async def _ask(client: httpx.AsyncClient, target: str, copy: Copy) -> Answer:
    began = time.perf_counter()
    try:
        answer = await client.post(target + copy.target, content=copy.body, headers=copy.headers)
    except httpx.HTTPError:
        return Answer(0, "", b"", time.perf_counter() - began)
    seconds = time.perf_counter() - began
    return Answer(
        answer.status_code, answer.headers.get("x-model-revision", ""), answer.content, seconds
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.shadow", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=9010, help="where Envoy sends copies")
    parser.add_argument(
        "--metrics-address", default="", help="where Prometheus asks, host:port; empty: nowhere"
    )
    options = parser.parse_args()
    configure_logging()
    try:
        settings = read_settings(DatabaseSettings, os.environ)
    except SettingError as error:
        logger.error("%s", error)
        return 1
    url = settings.database_url.get_secret_value()
    engine = open_database(url, pool_size=1, ca_file=settings.database_ca_file)
    try:
        listen_for_metrics(options.metrics_address)
    except (OSError, ValueError) as error:
        logger.error("--metrics-address=%s: %s", options.metrics_address, error)
        return 1
    shadow = Shadow(Database(engine))
    uvicorn.run(shadow.app(), host=options.host, port=options.port, log_config=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
