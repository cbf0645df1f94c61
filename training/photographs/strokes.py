"""A handwritten digit as another pen would have drawn it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from transformer.frames.subject.regions import find_regions

SCALE = 8
"""Pixels of a drawing for each pixel of the data set."""

INK_FROM = (110, 95, 80, 65, 50, 30)
"""Intensities from which on a point is ink: the highest at which strokes do not fall apart."""

Mask = NDArray[np.bool_]


def draw(digit: NDArray[np.uint8], pen: float) -> Image.Image:
    """How much of each point is covered by ink, 0 to 255, ``SCALE`` times as large.

    The pen follows the middle of the strokes. Where a stroke is wider than a line, as a loop that
    has run full, its inside is filled all the same: else the digit might be read as another.

    Args:
        digit: ``(h, w)`` intensities, light on dark.
        pen: width of the line in pixels of the data set, whose own lines are 2 to 4 wide.
    """
    size = (digit.shape[1] * SCALE, digit.shape[0] * SCALE)
    smooth = Image.fromarray(digit).resize(size, Image.Resampling.BICUBIC)
    smooth = smooth.filter(ImageFilter.GaussianBlur(SCALE / 4))
    coarse = _ink(np.asarray(smooth)[::2, ::2])
    # What is left of the strokes after a line's usual width has been taken off both sides.
    filled = Image.fromarray(coarse.astype(np.uint8) * 255)
    for _ in range(round(1.4 * SCALE / 2)):
        filled = filled.filter(ImageFilter.MinFilter(3))
    filled = filled.resize(size)
    radius = pen * SCALE / 2
    brush = ImageDraw.Draw(filled)
    for y, x in np.argwhere(thinned(coarse)).tolist():
        brush.ellipse((2 * x - radius, 2 * y - radius, 2 * x + radius, 2 * y + radius), 255)
    return filled.filter(ImageFilter.GaussianBlur(SCALE / 6))


def _ink(smooth: NDArray[np.uint8]) -> Mask:
    """Where a person sees strokes: faint joins hold them together."""
    levels = [level for level in INK_FROM if level < smooth.max()] or [int(smooth.max()) // 2]
    pieces = _pieces(smooth > levels[-1])
    return next(ink for ink in (smooth > level for level in levels) if _pieces(ink) <= pieces)


def _pieces(mask: Mask) -> int:
    return len(find_regions(mask, mask.astype(np.float32)).boxes)


def thinned(mask: Mask) -> Mask:
    """The middle lines of a mask (Zhang and Suen, 1984, doi:10.1145/357994.358023)."""
    found = np.pad(mask, 1)
    while True:
        before = int(found.sum())
        for first in (True, False):
            n = _neighbours(found)
            count = n.sum(axis=0)
            steps = (~n & np.roll(n, -1, axis=0)).sum(axis=0)
            north, east, south, west = n[0], n[2], n[4], n[6]
            if first:
                free = ~(north & east & south) & ~(east & south & west)
            else:
                free = ~(north & east & west) & ~(north & south & west)
            found[1:-1, 1:-1] &= ~((count >= 2) & (count <= 6) & (steps == 1) & free)
        if int(found.sum()) == before:
            return found[1:-1, 1:-1]


def _neighbours(padded: Mask) -> Mask:
    """The eight neighbours of every point, clockwise from the north."""
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    places = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return np.stack([padded[y : y + height, x : x + width] for y, x in places])
