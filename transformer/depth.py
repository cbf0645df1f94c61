"""Pictures of more than eight bits a sample, as the eight that a person sees.

Cameras, scanners and instruments put 10, 12 or 14 bits into 16 without a word of it, so full
intensity is the greatest number of the fewest bits that hold the picture's own greatest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
DEEP = (*SIXTEEN_BIT, "I", "F")
"""Pillow's modes of grey in more than eight bits."""

DEPTHS = tuple(float((1 << bits) - 1) for bits in (8, 10, 12, 14, 16))
STRIP_PIXELS = 1 << 20
"""Converted at a time, so that a large picture is not held in floats."""

Rows = Callable[[int, int], NDArray[Any]]
"""Of a picture: ``(stop - start, width)`` or ``(stop - start, width, bands)`` numbers."""


def eight_bits(image: Image.Image, full: float | None = None) -> Image.Image:
    """A picture of one of the modes ``DEEP`` as grey of eight bits; any other as it is.

    Args:
        full: as of ``levels_of``.
    """
    if image.mode not in DEEP:
        return image

    def rows(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(image.crop((0, start, image.width, stop)))

    return Image.fromarray(levels_of(rows, image.height, image.width, full))


def levels_of(rows: Rows, height: int, width: int, full: float | None = None) -> NDArray[np.uint8]:
    """Numbers of any type as levels; what is negative or no number is dark.

    Args:
        full: the number of full intensity, where it is known; else it is found.
    """
    if full is None:
        strips = _strips(height, width)
        top = max(_finite(rows(*strip)).max(initial=0.0) for strip in strips)
        one = rows(0, 1)
        # A float picture is in units of full intensity unless it says otherwise by exceeding 1.
        usual = (1.0, *DEPTHS) if one.dtype.kind == "f" else DEPTHS
        full = next((depth for depth in usual if top <= depth), float(top))
    found = np.empty((height, *rows(0, 1).shape[1:]), np.uint8)
    for start, stop in _strips(height, width):
        levels = _finite(rows(start, stop)) * np.float32(255.0 / full) + np.float32(0.5)
        found[start:stop] = levels.clip(0, 255)
    return found


def _strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    count = max(1, STRIP_PIXELS // max(1, width))
    return ((top, min(top + count, height)) for top in range(0, height, count))


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    return np.nan_to_num(floats, nan=0.0, posinf=0.0, neginf=0.0)
