"""Overlapping tiles of a raster, and their answers joined without seams.

Tiles lie on a grid whose offsets are multiples of what the network divides its resolution by, so
that a pixel meets the network in the same phase whatever tile it is in. Where tiles overlap, both
answers are weighted by the distance from the tile's border, where a network sees least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNSEEN = 3 / 8
"""Share of an overlap, from a tile's border, in which only its neighbour counts."""


class Tile(NamedTuple):
    """A tile's place; ``row`` and ``column`` count tiles, the rest are pixels."""

    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis: all ``step`` pixels apart; the last one may be shorter.

    Attributes:
        size: pixels to cover, a multiple of the network's.
        tile: length of a tile.
        overlap: pixels that neighbours share.
        count: tiles.
    """

    size: int
    tile: int
    overlap: int
    count: int

    @property
    def step(self) -> int:
        return self.tile - self.overlap

    def start(self, index: int) -> int:
        return index * self.step

    def length(self, index: int) -> int:
        return min(self.tile, self.size - self.start(index))


def divide(size: int, longest: int, overlap: int, multiple: int) -> Axis:
    """The fewest tiles no longer than ``longest``, and those as short as they can be.

    Args:
        size: pixels of the raster; covered by ``multiple``s, so that what is covered may be more.
    """
    covered = math.ceil(size / multiple) * multiple
    if covered <= longest:
        return Axis(covered, covered, 0, 1)
    count = math.ceil((covered - overlap) / (longest - overlap))
    even = math.ceil((covered - overlap) / count / multiple) * multiple + overlap
    tile = min(longest, even)
    count = math.ceil((covered - overlap) / (tile - overlap))
    return Axis(covered, tile, overlap, count)


@dataclass(frozen=True)
class Tiling:
    """The grid of tiles of a raster, in reading order."""

    rows: Axis
    columns: Axis

    def row(self, index: int) -> Iterator[Tile]:
        """The tiles of one row, from the left."""
        top, height = self.rows.start(index), self.rows.length(index)
        for column in range(self.columns.count):
            left, width = self.columns.start(column), self.columns.length(column)
            yield Tile(index, column, top, left, height, width)

    @property
    def pixels(self) -> int:
        """Of all tiles together: what the network computes."""
        heights = sum(self.rows.length(i) for i in range(self.rows.count))
        return heights * sum(self.columns.length(i) for i in range(self.columns.count))


class Block(NamedTuple):
    """A part of the answer that no further tile changes: ``(classes, h, w)`` bytes."""

    top: int
    left: int
    levels: NDArray[np.uint8]


class Mosaic:
    """Joins the answers of tiles, given in reading order.

    It keeps the lower overlap of one row of tiles and the right one of one tile, so its memory
    grows with the raster's width, by ``overlap`` times the classes, and not with its area.
    """

    def __init__(self, tiling: Tiling, classes: int) -> None:
        self._tiling = tiling
        overlap = tiling.rows.overlap
        self._below = np.zeros((classes, overlap, tiling.columns.size), np.float32)
        self._right: NDArray[np.float32] | None = None
        self._row_ramp = _ramp(overlap)
        self._column_ramp = _ramp(tiling.columns.overlap)

    def add(self, tile: Tile, levels: NDArray[np.uint8]) -> Iterator[Block]:
        """Take a tile's answer; give the parts that are final with it.

        Args:
            levels: ``(classes, tile.height, tile.width)``, 255 being certainty.
        """
        columns, rows = self._tiling.columns, self._tiling.rows
        across = columns.overlap
        last_column = tile.column == columns.count - 1
        last_row = tile.row == rows.count - 1
        left = self._right
        kept_width = tile.width if last_column else tile.width - across
        kept_height = tile.height if last_row else tile.height - rows.overlap
        self._right = None
        if not last_column:
            self._right = levels[:, :, kept_width:] * self._column_ramp[::-1]
        inner = across if tile.column else 0
        if left is not None:
            left += levels[:, :, :across] * self._column_ramp
            yield from self._settle(tile, tile.left, left, kept_height, last_row)
        yield from self._settle(
            tile, tile.left + inner, levels[:, :, inner:kept_width], kept_height, last_row
        )

    def _settle(
        self,
        tile: Tile,
        left: int,
        part: NDArray[np.uint8] | NDArray[np.float32],
        kept_height: int,
        last_row: bool,
    ) -> Iterator[Block]:
        down = self._tiling.rows.overlap
        width = part.shape[2]
        if not width:
            return
        below = self._below[:, :, left : left + width]
        inner = 0
        if tile.row:
            inner = down
            above = below + part[:, :down] * self._row_ramp[:, np.newaxis]
            yield Block(tile.top, left, _bytes(above))
        if not last_row:
            below[:] = part[:, kept_height:] * self._row_ramp[::-1, np.newaxis]
        yield Block(tile.top + inner, left, _bytes(part[:, inner:kept_height]))


def _ramp(overlap: int) -> NDArray[np.float32]:
    """Weights rising in the middle of an overlap; with their mirror image they sum to 1.

    Nearest to its border a tile counts for nothing: what lies beyond still matters to the network
    there, and was not shown to it.
    """
    margin = overlap * UNSEEN
    places = np.arange(overlap, dtype=np.float32) + np.float32(0.5)
    ramp: NDArray[np.float32] = ((places - margin) / max(1.0, overlap - 2 * margin)).clip(0, 1)
    return ramp.astype(np.float32)


def _bytes(levels: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8]:
    if levels.dtype == np.uint8:
        return levels  # type: ignore[return-value]
    return np.rint(levels).astype(np.uint8)


def decide(levels: NDArray[np.uint8], void: int) -> NDArray[np.uint8]:
    """The most probable class of every pixel but ``void``, the first of equals: ``(h, w)``.

    The greatest of words that hold a level, and below it the class counted from the last: ten
    times as fast as numpy's ``argmax`` along the first axis.
    """
    best = np.zeros(levels.shape[1:], np.uint16)
    word = np.empty_like(best)
    for index, plane in enumerate(levels):
        if index != void:
            np.multiply(plane, 256, out=word, dtype=np.uint16)
            word |= np.uint16(255 - index)
            np.maximum(best, word, out=best)
    return ~best.astype(np.uint8)
