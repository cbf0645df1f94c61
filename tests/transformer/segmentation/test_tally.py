"""What is counted of rasters: one place of each, with what was answered there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from rasterio.errors import NotGeoreferencedWarning

from artifact import RasterInput
from tests.transformer.segmentation.test_model import CONTRACT, Brightest, ask, build, tiff
from transformer.pictures.tally import PictureTally
from transformer.segmentation import model as segmentation
from transformer.segmentation.tally import SIDE, PlaceDraw
from transformer.segmentation.tiling import Tile
from transformer.segmentation.work import Call

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{NotGeoreferencedWarning.__module__}.{NotGeoreferencedWarning.__name__}"
)


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    found = CollectorRegistry()
    monkeypatch.setattr(segmentation, "PLACES", PictureTally(found))
    return found


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {"model_name": "areas", "revision": "1", **labels})


async def test_of_a_raster_one_place_counts(
    executor: ThreadPoolExecutor, registry: CollectorRegistry
) -> None:
    """Of many tiles, all of them green."""
    spec = replace(CONTRACT.input_as(RasterInput), tile=32, overlap=0)
    model = build(executor, Brightest(), replace(CONTRACT, input=spec))
    pixels = np.zeros((300, 200, 3), np.uint8)
    pixels[..., 1] = 204
    for _ in range(3):
        await ask(model, tiff(pixels))
    assert value(registry, "vision_picture_brightness_ratio_count") == 3
    assert value(registry, "vision_picture_brightness_ratio_sum") == pytest.approx(3 * 0.8)
    assert value(registry, "vision_picture_pixels_sum") == 3 * 300 * 200
    assert value(registry, "vision_predictions_total", label=CONTRACT.labels[2]) == 3
    assert value(registry, "vision_predictions_total", label=CONTRACT.labels[0]) == 0
    confidence = value(registry, "vision_prediction_confidence_ratio_sum")
    assert confidence == pytest.approx(3 * 102 / 255)
    assert value(registry, "vision_prediction_entropy_ratio_count") == 3
    assert value(registry, "vision_prediction_familiarity_ratio_count") is None or not value(
        registry, "vision_prediction_familiarity_ratio_count"
    )


async def test_what_met_two_revisions_counts_as_neither(
    executor: ThreadPoolExecutor, registry: CollectorRegistry
) -> None:
    spec = replace(CONTRACT.input_as(RasterInput), tile=32, overlap=0)
    model = build(executor, Brightest(("1", "2")), replace(CONTRACT, input=spec))
    model._call_pixels = 32 * 32
    await ask(model, tiff(np.full((300, 200, 3), 9, np.uint8)))
    assert value(registry, "vision_picture_brightness_ratio_count") in (None, 0)


async def test_it_can_be_switched_off(
    executor: ThreadPoolExecutor, registry: CollectorRegistry
) -> None:
    model = build(executor, Brightest(), picture_statistics=False)
    await ask(model, tiff(np.full((40, 40, 3), 9, np.uint8)))
    assert value(registry, "vision_picture_brightness_ratio_count") is None


def test_every_tile_is_as_likely_and_little_of_it_is_kept() -> None:
    drawn = []
    for _ in range(2000):
        draw = PlaceDraw()
        tiles = [Tile(0, n, 0, 96 * n, 96, 96) for n in range(4)]
        draw.offer(Call(tiles[:1], None))
        draw.offer(Call(tiles[1:3], np.zeros((2, 3, 96, 96), np.uint8)))
        draw.offer(Call(tiles[3:], np.zeros((1, 3, 96, 96), np.uint8)))
        assert draw.place is not None
        drawn.append(draw.place.tile.column)
        levels = np.arange(1, 4, dtype=np.uint8)[:, None, None, None].repeat(96, 2).repeat(96, 3)
        draw.answer(tiles[1:3], levels[:2])
        draw.answer(tiles[3:], levels[2:])
        assert draw.place.levels is not None
        assert draw.place.levels.shape == (1, SIDE, SIDE)
        assert (draw.place.levels == draw.place.tile.column).all()
        assert draw.place.pixels.shape == (3, SIDE, SIDE)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[0] == 0
    assert np.abs(shares[1:] - 1 / 3).max() < 0.06
