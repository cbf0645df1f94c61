from __future__ import annotations

import os

import numpy as np
import torch
from rasterio.io import MemoryFile

from artifact import RasterInput
from benchmarks.large_image import geotiff, most_memory, network_tiles, picture
from tests.conftest import make_segmentation_contract

SPEC = make_segmentation_contract().input_as(RasterInput)


def test_the_picture_is_a_geotiff() -> None:
    pixels = picture(600)
    assert (pixels == picture(600)).all()
    assert len(np.unique(pixels)) > 100
    for compression in (None, "zlib"):
        with MemoryFile(geotiff(pixels, compression)) as memory, memory.open() as file:
            assert file.crs.to_epsg() == 32640
            assert (file.read() == pixels.transpose(2, 0, 1)).all()


def test_the_bare_network_gets_every_pixel_once() -> None:
    pixels = picture(400)
    tiles = network_tiles(pixels, SPEC, 64)
    assert sum(tile[0, 0].numel() for tile in tiles) == (400 // 2 // 16 * 16) ** 2
    assert all(max(tile.shape[2:]) <= 64 and tile.dtype == torch.float32 for tile in tiles)
    means = [float(tile.mean()) * tile.numel() for tile in tiles]
    found = sum(means) / sum(tile.numel() for tile in tiles)
    expected = (pixels[:384, :384].mean() / 255 - 0.5) / 0.25
    assert abs(found - expected) < 0.02


def test_the_most_memory_of_this_process_is_some() -> None:
    assert most_memory(os.getpid()) > 10e6
