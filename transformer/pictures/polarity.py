"""Polarity: whether the subject is lighter or darker than what surrounds it."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RING_SHARE = 0.6
"""Share of the frame's pixels that must be nearer to the brightest than to the darkest pixel.

Of all 140,000 images of MNIST and FashionMNIST none comes above 0.58, and of their negatives
all but 5 in 140,000 do: `tests/transformer/test_polarity.py` counts them.
"""


class Polarity(str, Enum):
    """What a request may ask for (``AUTO`` finds out) and what an answer reports."""

    AUTO = "auto"
    LIGHT_ON_DARK = "light-on-dark"
    DARK_ON_LIGHT = "dark-on-light"


def find_polarity(gray: Image.Image, width: int, height: int) -> Polarity:
    """Look at the one-pixel frame of the picture shrunk to ``width`` × ``height`` pixels.

    A picture of one intensity has no subject and counts as light on dark.
    """
    if gray.size != (width, height):
        gray = gray.resize((width, height), Image.Resampling.BOX)
    pixels = np.frombuffer(gray.tobytes(), np.uint8)[np.newaxis]
    return polarities_of(pixels, width, height)[0]


def polarities_of(pixels: NDArray[np.uint8], width: int, height: int) -> list[Polarity]:
    """``find_polarity`` of ``(n, height * width)`` intensities, row by row."""
    frame = pixels[:, _frame(width, height)]
    middle = (pixels.min(axis=1).astype(np.int16) + pixels.max(axis=1)) // 2
    light = (frame > middle[:, np.newaxis]).sum(axis=1) > RING_SHARE * frame.shape[1]
    return [Polarity.DARK_ON_LIGHT if dark else Polarity.LIGHT_ON_DARK for dark in light.tolist()]


@lru_cache(maxsize=64)
def _frame(width: int, height: int) -> NDArray[np.intp]:
    """Where the frame's pixels stand; a corner counts once where there is more than one row."""
    every = np.arange(width * height)
    return np.concatenate(
        [
            every[:width],
            every[-width:],
            every[width:-width:width],
            every[2 * width - 1 : -width : width],
        ]
    )
