from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from transformer.segmentation.tiling import Mosaic, Tiling, decide, divide


def joined(levels: NDArray[np.uint8], tiling: Tiling) -> NDArray[np.uint8]:
    """Every tile answers with its part of ``levels``."""
    mosaic = Mosaic(tiling, len(levels))
    out = np.full_like(levels, 7)
    seen = np.zeros(levels.shape[1:], int)
    for row in range(tiling.rows.count):
        for tile in tiling.row(row):
            part = levels[:, tile.top :, tile.left :][:, : tile.height, : tile.width]
            for block in mosaic.add(tile, part):
                height, width = block.levels.shape[1:]
                place = np.s_[block.top : block.top + height, block.left : block.left + width]
                out[(slice(None), *place)] = block.levels
                seen[place] += 1
    assert (seen == 1).all()
    return out


@pytest.mark.parametrize("size", [1, 31, 32, 33, 320, 321, 1000, 4999])
@pytest.mark.parametrize(("longest", "overlap"), [(320, 64), (96, 32), (512, 0)])
def test_tiles_cover_an_axis(size: int, longest: int, overlap: int) -> None:
    axis = divide(size, longest, overlap, 32)
    assert size <= axis.size < size + 32
    ends = [axis.start(i) + axis.length(i) for i in range(axis.count)]
    assert ends[-1] == axis.size
    for index in range(axis.count):
        assert axis.start(index) % 32 == axis.length(index) % 32 == 0
        assert 0 < axis.length(index) <= longest
    for index in range(axis.count - 1):
        assert ends[index] - axis.start(index + 1) == axis.overlap


@pytest.mark.parametrize("shape", [(32, 32), (320, 96), (352, 704)])
@pytest.mark.parametrize(("longest", "overlap"), [(96, 32), (160, 64), (1024, 128)])
def test_what_tiles_agree_on_is_joined_as_it_is(
    shape: tuple[int, int], longest: int, overlap: int
) -> None:
    levels = np.random.default_rng(3).integers(0, 256, (3, *shape), np.uint8)
    rows, columns = (divide(size, longest, overlap, 32) for size in shape)
    assert (joined(levels, Tiling(rows, columns)) == levels).all()


def test_what_a_tile_says_at_its_border_does_not_count() -> None:
    axis = divide(160, 96, 32, 32)
    assert (axis.count, axis.overlap) == (2, 32)
    mosaic = Mosaic(Tiling(divide(32, 96, 32, 32), axis), 1)
    low, high = np.full((1, 32, 96), 10, np.uint8), np.full((1, 32, 96), 90, np.uint8)
    first, second = Tiling(divide(32, 96, 32, 32), axis).row(0)
    blocks = [*mosaic.add(first, low), *mosaic.add(second, high)]
    row = np.zeros(160, np.uint8)
    for block in blocks:
        row[block.left : block.left + block.levels.shape[2]] = block.levels[0, 0]
    assert (row[: 64 + 12] == 10).all()
    assert (row[64 + 20 :] == 90).all()
    assert (np.diff(row.astype(int)) >= 0).all()


def test_the_first_of_equals_is_chosen_and_never_the_void_one() -> None:
    levels = np.array([[[255, 9]], [[3, 5]], [[3, 9]]], np.uint8)
    assert decide(levels, void=0).tolist() == [[1, 2]]
    assert decide(levels, void=2).tolist() == [[0, 0]]
