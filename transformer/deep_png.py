"""PNGs of 16 bits in colour, of which Pillow gives the upper eight."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

HALVES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""By the name of what Pillow unpacks, the name of the same with the lower byte of each number for
the upper one: that of numbers whose bytes stand the other way round."""


def sixteen_bits(image: Image.Image, data: bytes | memoryview) -> NDArray[np.uint16] | None:
    """``(height, width, bands)`` of an opened PNG; None for a picture of another kind.

    Args:
        data: what it was opened from.
    """
    if not isinstance(image, PngImageFile) or len(image.tile) != 1:
        return None
    lower = HALVES.get(str(image.tile[0].args))
    if lower is None:
        return None
    found = np.asarray(image).astype(np.uint16)
    found <<= 8
    with Image.open(io.BytesIO(data), formats=("PNG",)) as other:
        other.tile = [other.tile[0]._replace(args=lower)]
        found |= np.asarray(other)
    return found
