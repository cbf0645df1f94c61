"""Hostile requests to the real processes: every one is answered or refused, and nothing grows.

``HOSTILE=100000`` sends that many (``make test-hostile``); a few thousand are sent by default.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from local.service import LocalService, free_ports, interpreters
from tests.conftest import SHIPPED
from tests.end_to_end.conftest import call, instances, resident_bytes, start
from tests.hostile.attack import attack
from tests.hostile.requests import SAMPLES, Generator, picture_files, raster_files

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("HOSTILE", "3000"))
SEED = 20_261_129
ALLOWED_GROWTH = 20 << 20
NAMES = ("transformer", "predictor")


def survive(service: LocalService, generator: Generator, count: int) -> None:
    """Attack, and see that processes, memory and errors are as they should be."""
    # What the allocators and caches keep after any traffic at all is not growth.
    warm = min(count, max(300, count // 10))
    asyncio.run(attack(service.ports.http, generator, 0, warm))
    before = {name: resident_bytes(service.pid(name)) for name in NAMES}
    outcome = asyncio.run(attack(service.ports.http, generator, warm, count - warm))
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    assert not outcome.silent, "\n".join(outcome.silent[:20])
    assert {400, 404, 405, 413, 422} <= set(outcome.statuses), outcome.statuses
    for name in NAMES:
        grown = resident_bytes(service.pid(name)) - before[name]
        assert grown < ALLOWED_GROWTH, f"{name} grew by {grown / 2**20:.1f} MiB"


@pytest.mark.timeout(3600)
def test_classifiers(tmp_path: Path) -> None:
    good = instances((SAMPLES / "seven.png").read_bytes())
    with start(tmp_path) as service:
        url = f"{service.url}/v1/models/mnist:predict"
        expected = call(url, good).json()
        survive(service, Generator(SEED, ["mnist", "fashion-mnist"], picture_files()), COUNT)
        assert call(url, good).json() == expected


@pytest.mark.timeout(3600)
def test_rasters(tmp_path: Path) -> None:
    sample = (SAMPLES / "aerial.tif").read_bytes()
    with LocalService(
        free_ports(), interpreters(), SHIPPED, log_folder=tmp_path, service="land-cover"
    ) as service:
        url = f"{service.url}/v1/models/land-cover:predict?output=npy"
        expected = call(url, sample, "image/tiff").body
        survive(service, Generator(SEED, ["land-cover"], raster_files()), max(600, COUNT // 10))
        assert call(url, sample, "image/tiff").body == expected
