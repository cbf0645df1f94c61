"""TIFFs of more than eight bits in several bands, of which Pillow gives the upper eight at most."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from transformer.depth import levels_of

BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, SAMPLES_PER_PIXEL = 258, 262, 274, 277
GREY_AND_RGB = (0, 1, 2)
PART_BYTES = 128 << 20
"""Of a strip or a row of tiles, decompressed."""


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture is a TIFF that Pillow reads in part alone."""
    if not isinstance(image, TiffImageFile):
        return False
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))
    several = image.tag_v2.get(SAMPLES_PER_PIXEL, 1) > 1
    return several and max(bits) > 8 and image.tag_v2.get(PHOTOMETRIC) in GREY_AND_RGB


def deep_picture(image: Image.Image) -> Image.Image:
    """The picture in eight bits a band, opacity included; not turned yet.

    Raises:
        UnsupportedMediaError, MalformedRequestError: as ``TiffRaster``.
    """
    # Only here: most pictures are none, and these read with numpy and tifffile.
    from transformer.rasters.raster import RasterLimits
    from transformer.rasters.tiff import TiffRaster

    assert isinstance(image, TiffImageFile)
    data = cast(io.BytesIO, image.fp).getvalue()
    pixels, side = image.width * image.height, max(image.size)
    raster = TiffRaster(data, RasterLimits(pixels, side, pixels, PART_BYTES))

    def rows(start: int, stop: int) -> NDArray[np.generic]:
        return raster.rows(start, stop)[..., : raster.layout.bands]

    # The size by its own word: Pillow's is that of the picture turned.
    height, width = raster.layout.height, raster.layout.width
    levels = levels_of(rows, height, width)
    if raster.layout.alpha:
        full = float(np.iinfo(raster.layout.dtype).max)
        opacity = levels_of(
            lambda start, stop: raster.rows(start, stop)[..., -1:], height, width, full
        )
        levels = np.concatenate([levels, opacity], axis=2)
    picture = Image.fromarray(levels)
    picture.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return picture
