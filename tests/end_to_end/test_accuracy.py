"""The official test sets through both processes give the accuracy that the cards say."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from artifact import Metrics, open_revision
from local.service import LocalService
from tests.conftest import SHIPPED
from tests.end_to_end.conftest import instances, start
from training import evaluate_service
from training.data import load_data
from training.over_http import agree, encode_png

CONNECTIONS = 64


def evaluate(url: str, model: str, revision: str, data: Path) -> int:
    return evaluate_service.main(
        ["--url", url, "--model", model, "--revision", revision, "--data", str(data)]
    )


@pytest.mark.parametrize(("model", "revision"), [("mnist", "2"), ("fashion-mnist", "3")])
def test_default_revisions(service: LocalService, data: Path, model: str, revision: str) -> None:
    assert evaluate(service.url, model, revision, data) == 0


def test_another_revision(tmp_path: Path, data: Path) -> None:
    with start(tmp_path, {"fashion-mnist": "1"}) as service:
        assert evaluate(service.url, "fashion-mnist", "1", data) == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
async def test_at_full_load_one_image_a_request(
    precision: str, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both models at once, so that every batch on the way holds strangers' images."""
    monkeypatch.setenv("VISION_PRECISION", precision)
    cards = {
        "mnist": open_revision(SHIPPED, "mnist", "2").card,
        "fashion-mnist": open_revision(SHIPPED, "fashion-mnist", "3").card,
    }
    tests = {name: load_data(card.data.name, data).test for name, card in cards.items()}
    pending = iter([(name, i) for i in range(10_000) for name in tests])
    right: Counter[str] = Counter()
    with start(tmp_path) as service:

        async def worker(session: aiohttp.ClientSession) -> None:
            for name, index in pending:
                test = tests[name]
                body = instances(encode_png(Image.fromarray(test.images[index])))
                url = f"{service.url}/v1/models/{name}:predict"
                headers = {"Content-Type": "application/json"}
                async with session.post(url, data=body, headers=headers) as response:
                    assert response.status == 200
                    answer = await response.json()
                assert answer["model_version"] == cards[name].revision
                right[name] += answer["predictions"][0]["class_id"] == test.labels[index]

        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    for name, card in cards.items():
        assert isinstance(card.metrics, Metrics)
        assert agree(right[name], card.metrics.test_correct, 10_000), (name, right[name])
