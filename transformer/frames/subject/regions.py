"""Connected regions of a mask, with numpy alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, right and bottom; right and bottom are outside."""


class Regions(NamedTuple):
    """Regions of a mask in which neighbours, also diagonal ones, belong together.

    Attributes:
        labels: ``(h, w)``: 0 where the mask is not, else the number of the region, from 1.
        boxes: of each region.
        masses: sum of the weights in each.
    """

    labels: NDArray[np.int32]
    boxes: list[Box]
    masses: list[float]


def find_regions(mask: NDArray[np.bool_], weights: NDArray[np.float32]) -> Regions:
    """Label a mask by runs: the stretches of a row that it covers.

    Args:
        mask, weights: ``(h, w)``.
    """
    height, width = mask.shape
    stride = width + 2  # so that no run touches one of the next row by its end
    flat = np.zeros((height, stride), np.int8)
    flat[:, 1:-1] = mask
    change = np.diff(flat.ravel(), prepend=np.int8(0))
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    count = len(starts)
    if count == 0:
        return Regions(np.zeros(mask.shape, np.int32), [], [])
    roots = _joined(count, *_neighbours(starts, ends, stride))
    _, numbers = np.unique(roots, return_inverse=True)
    marks = np.zeros(height * stride + 1, np.int32)
    marks[starts] = numbers + 1
    marks[ends] -= numbers + 1
    labels = np.cumsum(marks[:-1], dtype=np.int32).reshape(height, stride)[:, 1:-1]
    rows, left, right = starts // stride, starts % stride - 1, ends % stride - 1
    sums = np.add.reduceat(weights[mask], np.cumsum(right - left) - (right - left), dtype=float)
    masses = np.bincount(numbers, sums)
    found = int(numbers.max()) + 1
    box = np.empty((found, 4), np.int64)
    box[:, :2], box[:, 2:] = max(mask.shape), 0
    np.minimum.at(box[:, 0], numbers, left)
    np.minimum.at(box[:, 1], numbers, rows)
    np.maximum.at(box[:, 2], numbers, right)
    np.maximum.at(box[:, 3], numbers, rows + 1)
    boxes = [(a, b, c, d) for a, b, c, d in box.tolist()]
    return Regions(labels, boxes, masses.tolist())


def _neighbours(
    starts: NDArray[np.intp], ends: NDArray[np.intp], stride: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of runs of adjacent rows that touch."""
    first = np.searchsorted(ends, starts + stride - 1, "right")
    last = np.searchsorted(starts, ends + stride, "right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    offsets = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + offsets


def _joined(count: int, upper: NDArray[np.intp], lower: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each run the least run that it is connected with."""
    roots = np.arange(count)
    while True:
        a, b = roots[upper], roots[lower]
        if (a == b).all():
            return roots
        least = np.minimum(a, b)
        np.minimum.at(roots, a, least)
        np.minimum.at(roots, b, least)
        while (roots[roots] != roots).any():
            roots = roots[roots]
