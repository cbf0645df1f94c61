"""Many requests at once, each answered for its own picture; a predictor that dies meanwhile."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from artifact import open_revision
from local.service import LocalService
from predictor.loading import load_revision
from tests.conftest import SHIPPED
from tests.end_to_end.conftest import call, distinct_pngs, instances, start
from transformer.pictures.preprocess import prepare

REQUESTS = 10_000
PICTURES = 1_000
CONNECTIONS = 64
REVISIONS = {"mnist": "1", "fashion-mnist": "2"}
"""What the base manifest holds."""


def expected_probabilities(model: str, pictures: list[bytes]) -> NDArray[np.float32]:
    """What the model answers, computed here, without servers."""
    revision = REVISIONS[model]
    spec = open_revision(SHIPPED, model, revision).card.contract.input
    batch = np.stack([prepare(Image.open(io.BytesIO(data)), spec).tensor for data in pictures])
    return load_revision(SHIPPED, model, revision).probabilities(batch)


async def test_each_answer_belongs_to_its_own_request(service: LocalService) -> None:
    models = tuple(REVISIONS)
    pictures = distinct_pngs(PICTURES, seed=5)
    wanted = {model: expected_probabilities(model, pictures) for model in models}
    bodies = [instances(picture) for picture in pictures]
    pending = iter(range(REQUESTS))

    async def worker(session: aiohttp.ClientSession) -> None:
        for index in pending:
            picture, model = index % PICTURES, models[(index // PICTURES) % 2]
            url = f"{service.url}/v1/models/{model}:predict"
            headers = {"Content-Type": "application/json", "X-Request-Id": str(index)}
            async with session.post(url, data=bodies[picture], headers=headers) as response:
                answer = await response.json()
                assert response.status == 200, answer
                assert response.headers["x-request-id"] == str(index)
            assert answer["model_name"] == model
            (prediction,) = answer["predictions"]
            row = wanted[model][picture]
            assert prediction["probability"] == pytest.approx(row.max(), abs=2e-5)
            assert row[prediction["class_id"]] == pytest.approx(row.max(), abs=2e-5)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))


async def test_a_server_that_is_told_to_stop_ends_by_itself(tmp_path: Path) -> None:
    """With connections open and requests coming; what is under way is answered."""
    body = instances(*distinct_pngs(32, seed=3))
    statuses: list[int] = []
    with start(tmp_path) as service:
        url = f"{service.url}/v1/models/mnist:predict"
        stopped = asyncio.Event()

        async def worker(session: aiohttp.ClientSession) -> None:
            while not stopped.is_set():
                async with session.post(url, data=body) as response:
                    statuses.append(response.status)
                    if response.status != 200:
                        await asyncio.sleep(0.02)

        async with aiohttp.ClientSession() as session:
            workers = [asyncio.create_task(worker(session)) for _ in range(8)]
            await asyncio.sleep(1)
            predictor = await asyncio.to_thread(service.terminate, "predictor")
            stopped.set()
            await asyncio.gather(*workers)
        transformer = await asyncio.to_thread(service.terminate, "transformer")
    assert (predictor, transformer) == (0, 0)
    assert set(statuses) <= {200, 503}
    assert statuses[0] == 200
    for name in ("predictor", "transformer"):
        assert "ERROR" not in (tmp_path / f"{name}.log").read_text()


async def test_predictor_dies_and_comes_back(tmp_path: Path) -> None:
    picture = distinct_pngs(1, seed=9)[0]
    row = expected_probabilities("mnist", [picture])[0]
    body = instances(picture)
    answers: list[tuple[float, int, Any]] = []
    stop = asyncio.Event()
    with start(tmp_path) as service:
        transformer = service.pid("transformer")
        url = f"{service.url}/v1/models/mnist:predict"

        async def worker(session: aiohttp.ClientSession) -> None:
            headers = {"Content-Type": "application/json"}
            while not stop.is_set():
                async with session.post(url, data=body, headers=headers) as response:
                    document = await response.json()
                    answers.append((time.monotonic(), response.status, document))
                    if response.status == 503:
                        assert response.headers["retry-after"] == "1"
                        await asyncio.sleep(0.02)

        async with aiohttp.ClientSession() as session:
            workers = [asyncio.create_task(worker(session)) for _ in range(8)]
            await asyncio.sleep(1)
            killed = time.monotonic()
            await asyncio.to_thread(service.kill, "predictor")
            await asyncio.sleep(2)
            assert call(f"{service.url}/v2/health/ready").status == 200
            await asyncio.to_thread(service.start, "predictor")
            await asyncio.to_thread(service.wait_ready)
            returned = time.monotonic()
            await asyncio.sleep(3)
            stop.set()
            await asyncio.gather(*workers)
        assert service.pid("transformer") == transformer

    assert {status for _, status, _ in answers} == {200, 503}
    gone = [document for moment, status, document in answers if status == 503]
    assert {d["code"] for d in gone} == {"unavailable"}
    assert {d["error"] for d in gone} == {"the predictor cannot be reached"}
    while_gone = [s for moment, s, _ in answers if killed + 1 < moment < killed + 2]
    assert while_gone
    assert set(while_gone) == {503}
    afterwards = [s for moment, s, _ in answers if moment > returned + 2]
    assert afterwards
    assert set(afterwards) == {200}
    for _, status, document in answers:
        if status == 200:
            (prediction,) = document["predictions"]
            assert prediction["probability"] == pytest.approx(row.max(), abs=2e-5)
