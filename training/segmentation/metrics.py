"""Intersection over union and its relatives, from counts of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.segmentation.data import LABELS, VOID

Counts = NDArray[np.int64]
"""``(classes, classes)``: pixels by true class (row) and predicted class (column)."""


def count_pixels(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> Counts:
    """Counts of one image; pixels that nobody annotated are left out."""
    size = len(LABELS)
    known = truth != VOID
    pairs = truth[known].astype(np.int64) * size + found[known]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def class_ious(counts: Counts) -> NDArray[np.float64]:
    """Intersection over union of every class but ``VOID``; NaN where there is none of it."""
    hit = np.diag(counts).astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - hit
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.delete(hit / union, VOID)


def mean_iou(counts: Counts) -> float:
    """Over the classes that occur."""
    return float(np.nanmean(class_ious(counts)))


def pixel_accuracy(counts: Counts) -> float:
    return float(np.trace(counts) / counts.sum())
