"""Masks of whole images as they are served, and how well they agree with the annotation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from artifact import RasterInput, Scores, SegmentationContract
from training.segmentation.data import LABELS, VOID, AnnotatedImage
from training.segmentation.metrics import (
    Counts,
    class_ious,
    count_pixels,
    mean_iou,
    pixel_accuracy,
)
from transformer.rasters.raster import Layout
from transformer.segmentation.bands import BandReader, Choice
from transformer.segmentation.work import Work

CALL_PIXELS = 1 << 20
"""Of tiles that go through the network one after the other: any number does."""

Infer = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Tiles ``(n, bands, h, w)`` to class probabilities ``(n, classes, h, w)``, both in bytes."""


class ArrayRaster:
    """An image in memory, as the transformer's readers see a file."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image
        self.layout = Layout(image.shape[0], image.shape[1], image.shape[2], "uint8")

    def rows(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self._image[start:stop]

    def valid(self, start: int, stop: int) -> None:
        """All of it is there."""


def segment(
    image: NDArray[np.uint8], contract: SegmentationContract, infer: Infer
) -> NDArray[np.uint8]:
    """The mask of an image ``(h, w, bands)``, by the transformer's own tiles and joints."""
    raster = ArrayRaster(image)
    bands = BandReader(raster, contract.input_as(RasterInput), Choice())
    work = Work(raster.layout, bands, contract, CALL_PIXELS)
    for call in work.calls():
        assert call.pixels is not None
        work.take(call.tiles, infer(call.pixels))
    return work.finish().mask


def score(
    images: tuple[AnnotatedImage, ...], masks: Callable[[AnnotatedImage], NDArray[np.uint8]]
) -> tuple[Scores, Counts]:
    """The agreement over whole images, and its counts of pixels."""
    counts = [count_pixels(item.mask, masks(item)) for item in images]
    return scores_of(counts), np.sum(counts, axis=0)


def scores_of(counts: list[Counts]) -> Scores:
    """Scores from each image's counts."""
    together: Counts = np.sum(counts, axis=0)
    names = [name for index, name in enumerate(LABELS) if index != VOID]
    ious = np.nan_to_num(class_ious(together))
    return Scores(
        ious={name: round(float(v), 4) for name, v in zip(names, ious, strict=True)},
        mean_iou=round(mean_iou(together), 4),
        image_mean_iou=round(float(np.mean([mean_iou(c) for c in counts if c.sum()])), 4),
        pixel_accuracy=round(pixel_accuracy(together), 4),
    )
