"""PNGs of 16 bits in colour, of which Pillow gives the upper eight."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from transformer.depth import levels_of

ORIENTATION = 0x0112
HALVES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""By the name of what Pillow unpacks, the name of the same with the lower byte of each number for
the upper one: that of numbers whose bytes stand the other way round."""


UPPER_QUARTER = 64
"""Of the upper bytes: below it no number has more than fourteen bits."""


def load_deep(image: Image.Image) -> Image.Image:
    """Decode an opened PNG of 16 bits in colour to eight, also where it uses few of the sixteen."""
    data = cast(io.BytesIO, image.fp).getvalue()  # type: ignore[attr-defined]
    image.load()
    # The histogram of all bands one after the other; opacity, the last one, says nothing of depth.
    used = np.reshape(image.histogram(), (-1, 256))[:3]
    if used[:, UPPER_QUARTER:].any():
        return image  # the upper bytes are the picture
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        pixels = sixteen_bits(again, data)
    assert pixels is not None

    def rows(start: int, stop: int) -> NDArray[np.uint16]:
        return pixels[start:stop, :, :3]

    picture = Image.fromarray(levels_of(rows, image.height, image.width))
    if image.mode == "RGBA":
        picture.putalpha(image.getchannel("A"))
    picture.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return picture


def is_deep_png(image: Image.Image) -> bool:
    """Whether an opened picture, not loaded yet, is a PNG of 16 bits in colour."""
    return (
        isinstance(image, PngImageFile)
        and len(image.tile) == 1
        and str(image.tile[0].args) in HALVES
    )


def sixteen_bits(image: Image.Image, data: bytes | memoryview) -> NDArray[np.uint16] | None:
    """``(height, width, bands)`` of an opened PNG; None for a picture of another kind.

    Args:
        data: what it was opened from.
    """
    if not is_deep_png(image):
        return None
    assert isinstance(image, PngImageFile)
    lower = HALVES[str(image.tile[0].args)]
    found = np.asarray(image).astype(np.uint16)
    found <<= 8
    with Image.open(io.BytesIO(data), formats=("PNG",)) as other:
        other.tile = [other.tile[0]._replace(args=lower)]
        found |= np.asarray(other)
    return found
