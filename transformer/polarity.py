"""Polarity: whether the subject is lighter or darker than what surrounds it."""

from __future__ import annotations

from enum import Enum
from typing import cast

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
    low, high = cast("tuple[int, int]", gray.getextrema())
    pixels = gray.tobytes()
    frame = (
        pixels[:width]
        + pixels[-width:]
        + pixels[width:-width:width]
        + pixels[2 * width - 1 : -width : width]
    )
    middle = (low + high) / 2
    light = sum(pixel > middle for pixel in frame)
    return Polarity.DARK_ON_LIGHT if light > RING_SHARE * len(frame) else Polarity.LIGHT_ON_DARK
