from __future__ import annotations

import numpy as np
import pytest

from artifact import RasterInput
from tests.conftest import make_segmentation_contract
from training.segmentation.evaluate import ArrayRaster
from transformer.segmentation.bands import BandReader, Choice
from transformer.segmentation.tiles import UNDECIDED, TileReader


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (301, 99), (260, 260)])
def test_tiles_stay_what_they_are_while_others_are_read(shape: tuple[int, int]) -> None:
    spec = make_segmentation_contract(reduction=1, tile=64, overlap=16).input_as(RasterInput)
    pixels = np.random.default_rng(6).integers(0, 256, (*shape, 3), np.uint8)
    mask = np.zeros(shape, np.uint8)
    found = list(TileReader(BandReader(ArrayRaster(pixels), spec, Choice()), spec, mask, 0))
    assert (mask == UNDECIDED).all()
    padded = np.pad(pixels, ((0, 64), (0, 64), (0, 0)), mode="edge").transpose(2, 0, 1)
    for tile, part in found:
        assert part is not None
        whole = padded[:, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        assert (part == whole).all()
