"""Hostile requests to the real processes: every one is answered or refused, and nothing grows.

``HOSTILE=100000`` sends that many (``make test-hostile``); a few thousand are sent by default.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
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
PARTS = 20
NAMES = ("transformer", "predictor")


def survive(service: LocalService, generator: Generator, count: int) -> None:
    """Attack, and see that processes, memory and errors are as they should be.

    What is resident goes up and down by some 30 MiB with what was decoded last, so the highest of
    many looks in the first half is compared with that in the second: a leak would go on.
    """
    sizes: dict[str, list[int]] = {name: [] for name in NAMES}
    seen: Counter[int] = Counter()
    part = max(100, count // PARTS)
    for first in range(0, count, part):
        outcome = asyncio.run(attack(service.ports.http, generator, first, part))
        assert not outcome.faults, "\n".join(outcome.faults[:20])
        assert not outcome.silent, "\n".join(outcome.silent[:20])
        seen += outcome.statuses
        for name in NAMES:
            sizes[name].append(resident_bytes(service.pid(name)))
    assert {400, 404, 405, 413, 422} <= set(seen), seen
    for name, found in sizes.items():
        half = len(found) // 2
        grown = max(found[half:]) - max(found[:half])
        assert grown < ALLOWED_GROWTH, f"{name} grew by {grown / 2**20:.1f} MiB: {found}"


@pytest.mark.timeout(3600)
def test_classifiers(tmp_path: Path) -> None:
    good = instances((SAMPLES / "seven.png").read_bytes())
    with start(tmp_path) as service:
        url = f"{service.url}/v1/models/mnist:predict"
        expected = call(url, good).json()
        for _, content in picture_files():
            call(url, content, "application/octet-stream")  # a format's library is loaded for good
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
