"""A raster as a stream of tiles, with no more of it in memory than a row of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import RasterInput
from transformer.segmentation.bands import BandReader
from transformer.segmentation.tiling import Tile, Tiling, divide

UNDECIDED = 255
"""Of a mask: a pixel that has data and waits for its class."""


class Filled(NamedTuple):
    """A tile with its pixels ``(bands, h, w)``; None where none of them has data."""

    tile: Tile
    pixels: NDArray[np.uint8] | None


class TileReader:
    """Cuts a raster into tiles, in reading order, and marks in the mask what has no data.

    Attributes:
        complete: whether all pixels read so far have data.

    Args:
        mask: ``(height, width)`` at full size; filled here with ``void`` where there is no data
            and ``UNDECIDED`` elsewhere, in front of the tiles that are given out.
    """

    def __init__(
        self, bands: BandReader, spec: RasterInput, mask: NDArray[np.uint8], void: int
    ) -> None:
        self.tiling = Tiling(
            divide(bands.height, spec.tile, spec.overlap, spec.multiple),
            divide(bands.width, spec.tile, spec.overlap, spec.multiple),
        )
        self.complete = True
        self._bands = bands
        self._factor = spec.reduction
        self._mask = mask
        self._void = void
        rows = min(self.tiling.rows.tile, self.tiling.rows.size)
        self._window = np.empty((len(spec.bands), rows, self.tiling.columns.size), np.uint8)
        self._read_to = 0

    def __iter__(self) -> Iterator[Filled]:
        for index in range(self.tiling.rows.count):
            height = self._load(index)
            for tile in self.tiling.row(index):
                part = self._window[:, :height, tile.left : tile.left + tile.width]
                if not self._has_data(tile):
                    yield Filled(tile, None)
                    continue
                yield Filled(tile, part.copy())

    def _load(self, index: int) -> int:
        """Fill the window with one row of tiles; what overlaps the row above is there already."""
        axis = self.tiling.rows
        top, height = axis.start(index), axis.length(index)
        if index:
            shared = axis.overlap
            self._window[:, :shared] = self._window[:, axis.step : axis.step + shared].copy()
        start = self._read_to
        stop = min(top + height, self._bands.height)
        step = self._bands.rows_per_chunk
        for first in range(start, stop, step):
            self._read(first, min(first + step, stop), top)
        self._read_to = max(start, stop)
        # Beyond the raster's last row and column their pixels go on.
        if top + height > self._bands.height:
            edge = self._bands.height - top
            self._window[:, edge:height] = self._window[:, edge - 1 : edge]
        return height

    def _read(self, start: int, stop: int, top: int) -> None:
        strip = self._bands.read(start, stop)
        width = strip.pixels.shape[2]
        target = self._window[:, start - top : stop - top]
        target[:, :, :width] = strip.pixels
        target[:, :, width:] = strip.pixels[:, :, -1:]
        rows = self._mask[start * self._factor : stop * self._factor]
        if strip.valid is None:
            rows[:] = UNDECIDED
        else:
            rows[:] = np.where(strip.valid, np.uint8(UNDECIDED), np.uint8(self._void))
            self.complete = False

    def _has_data(self, tile: Tile) -> bool:
        factor = self._factor
        part = self._mask[
            tile.top * factor : (tile.top + tile.height) * factor,
            tile.left * factor : (tile.left + tile.width) * factor,
        ]
        return bool(part.size) and (self.complete or bool((part != self._void).any()))
