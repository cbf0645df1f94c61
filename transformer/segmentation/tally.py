"""What rasters and their masks are like, counted in the bins of pictures: what drift is seen by.

Of each raster one place counts, drawn from all that the network is shown of it: neighbours are
alike, and counted together they would be taken for as many witnesses.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import RasterInput, SegmentationContract
from artifact.statistics import label_bins
from transformer.pictures.statistics import GreyStatistics, Numbers
from transformer.pictures.tally import PictureTally, Revisions
from transformer.segmentation.tiling import Tile, decide
from transformer.segmentation.work import Call

SIDE = 64
"""Reduced pixels of a place's sides, where its tile is as large."""

LEAST = 1e-3
"""Of a probability, whose steps are of 1/255."""


class Place(NamedTuple):
    """The middle of a tile.

    Attributes:
        pixels: ``(bands, h, w)``.
        levels: ``(classes, h, w)``, probabilities in steps of 1/255; None until they are answered.
    """

    tile: Tile
    pixels: NDArray[np.uint8]
    levels: NDArray[np.uint8] | None = None


class PlaceDraw:
    """Draws one place of a raster, each of its tiles with data as likely as any other."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self._seen = 0

    def offer(self, call: Call) -> None:
        """Tiles on their way to the predictor; of those that are not drawn nothing is kept."""
        if call.pixels is None:
            return
        for tile, pixels in zip(call.tiles, call.pixels, strict=True):
            self._seen += 1
            # Reservoir sampling (Vitter, 1985)
            if random.random() * self._seen < 1:  # noqa: S311
                self.place = Place(tile, _middle(pixels))

    def answer(self, tiles: list[Tile], levels: NDArray[np.uint8]) -> None:
        """What the predictor said of the tiles of a call."""
        place = self.place
        if place is None or place.levels is not None:
            return
        for tile, rows in zip(tiles, levels, strict=True):
            if tile is place.tile:
                self.place = place._replace(levels=_middle(rows))


class RasterMeter:
    """One model's; in any thread."""

    def __init__(self, tally: PictureTally, model: str, contract: SegmentationContract) -> None:
        self._tally = tally
        self._contract = contract
        bins = label_bins(contract.labels)
        self._places = np.array(bins.places, np.intp)
        self._revisions = Revisions(tally, model, bins.names)
        bands = len(contract.input_as(RasterInput).bands)
        self._band = 1 if bands >= 3 else 0

    def add(self, revision: str, size: int, drawn: Place) -> None:
        """Count a raster.

        Args:
            size: its pixels.
            drawn: a place of it, with what was answered.
        """
        assert drawn.levels is not None
        numbers = _statistics(*drawn.pixels.shape[1:]).of(drawn.pixels[self._band][None])
        numbers["size"] = np.array([size], np.float32)
        numbers |= _of_answer(drawn.levels)
        found = decide(drawn.levels, self._contract.void)
        counts = np.bincount(found.ravel(), minlength=len(self._contract.labels) + 1)
        counts[self._contract.void] = 0
        label = self._places[[counts[: len(self._places)].argmax()]]
        with self._tally.lock:
            self._revisions.of(revision).add(numbers, label)


def _of_answer(levels: NDArray[np.uint8]) -> Numbers:
    """Means over pixels: of the probability of the class that is likeliest, and of entropy."""
    shares = levels.reshape(len(levels), -1).astype(np.float32) / 255
    numbers = {"confidence": shares.max(axis=0).mean(keepdims=True)}
    if len(levels) > 1:
        entropy = -(shares * np.log(np.maximum(shares, LEAST))).sum(axis=0)
        numbers["entropy"] = entropy.mean(keepdims=True) / math.log(len(levels))
    return numbers


def _middle(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = planes.shape[1:]
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    return planes[:, top : top + SIDE, left : left + SIDE].copy()


@lru_cache(maxsize=64)
def _statistics(height: int, width: int) -> GreyStatistics:
    return GreyStatistics(height, width)
