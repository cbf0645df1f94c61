"""From a raster's bands to its mask, whoever answers for the tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import RasterInput, SegmentationContract
from transformer.rasters.raster import Layout
from transformer.segmentation.answers import Mask
from transformer.segmentation.bands import BandReader
from transformer.segmentation.tiles import UNDECIDED, Filled, TileReader
from transformer.segmentation.tiling import Block, Mosaic, Tile, decide


class Call(NamedTuple):
    """Tiles of one shape, and their pixels ``(n, bands, h, w)``; None for one without data."""

    tiles: list[Tile]
    pixels: NDArray[np.uint8] | None


class Work:
    """One raster on its way through the predictor.

    One thread may read on in ``calls`` while another one takes answers: these are to tiles that
    have been read, and settle nothing in front of them.

    Args:
        call_pixels: most reduced pixels of one call; a tile that has more goes alone.
        probabilities: whether those of all classes are kept beside the mask.
    """

    def __init__(
        self,
        layout: Layout,
        bands: BandReader,
        contract: SegmentationContract,
        call_pixels: int,
        probabilities: bool = False,
    ) -> None:
        spec = contract.input_as(RasterInput)
        self._layout = layout
        self._call_pixels = call_pixels
        self._contract = contract
        self._factor = spec.reduction
        self._nodata = _nodata(layout.nodata, contract)
        self._mask = np.empty((layout.height, layout.width), np.uint8)
        self._marker = self._nodata if self._nodata != UNDECIDED else contract.void
        self._tiles = TileReader(bands, spec, self._mask, self._marker)
        self._mosaic = Mosaic(self._tiles.tiling, len(contract.labels))
        self._pixels = [0] * len(contract.labels)
        self._levels: NDArray[np.uint8] | None = None
        if probabilities:
            shape = (len(contract.labels), layout.height, layout.width)
            self._levels = np.zeros(shape, np.uint8)

    def calls(self) -> Iterator[Call]:
        """Tiles of one shape that follow each other, together; those without data apart."""
        waiting: list[Filled] = []
        for filled in self._tiles:
            tile = filled.tile
            if waiting and (
                filled.pixels is None
                or (tile.height, tile.width) != (waiting[0].tile.height, waiting[0].tile.width)
                or (len(waiting) + 1) * tile.height * tile.width > self._call_pixels
            ):
                yield _together(waiting)
                waiting = []
            if filled.pixels is None:
                yield Call([tile], None)
            else:
                waiting.append(filled)
        if waiting:
            yield _together(waiting)

    def take(self, tiles: list[Tile], levels: NDArray[np.uint8]) -> None:
        """Join the answer to one call's tiles to what has come before it."""
        for tile, rows in zip(tiles, levels, strict=True):
            for block in self._mosaic.add(tile, rows):
                self._settle(block)

    def _settle(self, block: Block) -> None:
        factor = self._factor
        top, left = block.top * factor, block.left * factor
        target = self._mask[
            top : top + block.levels.shape[1] * factor, left : left + block.levels.shape[2] * factor
        ]
        if not target.size:
            return
        found = decide(block.levels, self._contract.void)
        if self._tiles.complete:
            _enlarge(found, target, factor)
        else:
            waiting = target == UNDECIDED
            whole = np.empty_like(target)
            _enlarge(found, whole, factor)
            np.copyto(target, whole, where=waiting)
        self._count(found, target)
        if self._levels is not None:
            for plane, levels in zip(self._levels, block.levels, strict=True):
                part = plane[top : top + target.shape[0], left : left + target.shape[1]]
                _enlarge(levels, part, factor)

    def _count(self, found: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Count the classes of a part of the mask, while it is in the processor's cache."""
        area = self._factor**2
        # Where every class stands for a whole block of pixels, the blocks are fewer to count.
        blocks = self._tiles.complete and target.size == found.size * area
        for index in range(len(self._pixels)):
            if index != self._contract.void:
                if blocks:
                    self._pixels[index] += area * int(np.count_nonzero(found == index))
                else:
                    self._pixels[index] += int(np.count_nonzero(target == index))

    def finish(self) -> Mask:
        """The mask, once every call has been taken."""
        marker = self._marker
        missing = not self._tiles.complete
        if missing and marker != self._nodata:
            self._mask[self._mask == marker] = self._nodata
        declared = missing or self._layout.nodata is not None
        nodata = self._nodata if declared else None
        return Mask(self._mask, nodata, self._pixels, self._levels)


def _together(waiting: list[Filled]) -> Call:
    pixels = [item.pixels for item in waiting if item.pixels is not None]
    batch = pixels[0][np.newaxis] if len(pixels) == 1 else np.stack(pixels)
    return Call([item.tile for item in waiting], batch)


def _nodata(value: float | None, contract: SegmentationContract) -> int:
    """The mask's own nodata value: the input's where no class has it, else ``void``'s index."""
    if value is None or not 0 <= value <= 255 or value != int(value):
        return contract.void
    number = int(value)
    if number != contract.void and number < len(contract.labels):
        return contract.void
    return number


def _enlarge(plane: NDArray[np.uint8], target: NDArray[np.uint8], factor: int) -> None:
    """Every pixel of ``plane`` ``factor`` times either way, as far as ``target`` reaches."""
    if factor == 2:
        # A byte twice is a word: six times as fast as numpy's repeat.
        wide = np.multiply(plane, 0x0101, dtype=np.uint16).view(np.uint8)
    else:
        wide = plane.repeat(factor, axis=1)
    wide = wide[:, : target.shape[1]]
    for offset in range(factor):
        rows = target[offset::factor]
        rows[:] = wide[: len(rows)]
