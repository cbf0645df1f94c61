"""Rasters: bands of pixels read row by row, whatever file they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.errors import TooLargeError, UnsupportedMediaError
from transformer.deep_png import sixteen_bits
from transformer.image import identify, pixel_limit, refused_if_damaged

PIXEL_BYTES = 32
"""Of all bands of a pixel, in a raster of the most pixels: thirteen bands of 16 bits, and more."""


class GeoTag(NamedTuple):
    """A TIFF tag as it was: code, TIFF type, number of values, and these."""

    code: int
    kind: int
    length: int
    value: object


@dataclass(frozen=True)
class Layout:
    """What is known of a raster before its pixels are read.

    Attributes:
        height, width: pixels.
        bands: of colour, the alpha band not counted.
        dtype: numpy's name of the element type.
        alpha: whether a last band says how opaque a pixel is.
        nodata: the value that marks a pixel without data, in any of its bands.
        geography: tags that place the raster on the ground.
        scales, offsets: of each band, alpha included: what its numbers are multiplied by and what
            is added then, for what they stand for; empty where they stand for themselves.
    """

    height: int
    width: int
    bands: int
    dtype: str
    alpha: bool = False
    nodata: float | None = None
    geography: tuple[GeoTag, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    @property
    def pixel_bytes(self) -> int:
        """Of all bands of a pixel together."""
        return (self.bands + self.alpha) * np.dtype(self.dtype).itemsize


class Raster(Protocol):
    """A raster whose rows are read in order, and never all at once unless they must be."""

    layout: Layout

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """``(stop - start, width, bands)`` elements, the alpha band last where there is one.

        Raises:
            MalformedRequestError: damaged or cut off.
        """

    def valid(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """``(stop - start, width)``: which pixels the file has, by what stands beside its bands.

        None where it has all of them.
        """


@dataclass(frozen=True)
class RasterLimits:
    """What a raster may be, so that what is in memory of it is bounded whatever its file says.

    Attributes:
        pixels: of a raster that is read in parts.
        side: the longest, in pixels.
        picture_pixels: of a picture, which is decompressed whole.
        part_bytes: of one strip or tile of a TIFF, and of one row of tiles, decompressed.
    """

    pixels: int
    side: int
    picture_pixels: int
    part_bytes: int

    def check(self, width: int, height: int, pixel_bytes: int = 1) -> None:
        """See that a raster is not too large; called before anything is decompressed.

        Args:
            pixel_bytes: of all bands of a pixel together.

        Raises:
            TooLargeError: naming the limit.
        """
        if width * height > self.pixels:
            raise TooLargeError(
                f"the image is {width} × {height} pixels; the limit is {self.pixels} pixels",
                code="image_too_large",
            )
        if width * height * pixel_bytes > self.pixels * PIXEL_BYTES:
            raise TooLargeError(
                f"the image is {width} × {height} pixels of {pixel_bytes} bytes; the limit is "
                f"{self.pixels * PIXEL_BYTES} bytes",
                code="image_too_large",
            )
        if max(width, height) > self.side:
            raise TooLargeError(
                f"the image is {width} × {height} pixels; the limit of a side is {self.side}",
                code="image_too_large",
            )


class Picture:
    """A PNG, JPEG or other picture, decoded whole by Pillow: they cannot be read in parts."""

    def __init__(self, data: bytes | memoryview, limits: RasterLimits) -> None:
        image = identify(data)
        limits.check(image.width, image.height)
        limit = pixel_limit(image, limits.picture_pixels)
        if image.width * image.height > limit:
            raise TooLargeError(
                f"the image is {image.width} × {image.height} pixels; a {image.format} is "
                f"decompressed whole, and the limit of such is {limit} pixels "
                "(a TIFF is read in parts)",
                code="image_too_large",
            )
        with refused_if_damaged(b"", None):
            deep = sixteen_bits(image, data)
            if deep is None:
                image.load()
                image = _plain(image)
        self._image = image
        self._deep = deep
        one = self.rows(0, 1)
        bands = one.shape[2]
        alpha = bands in (2, 4)
        self.layout = Layout(image.height, image.width, bands - alpha, one.dtype.name, alpha)

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        if self._deep is not None:
            return self._deep[start:stop]
        # Pillow's own memory is the only one that holds all of it.
        pixels = np.asarray(self._image.crop((0, start, self._image.width, stop)))
        return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels

    def valid(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        return None


def _plain(image: Image.Image) -> Image.Image:
    """Palettes and foreign colour spaces as RGB; grey stays grey, 16 bits stay 16 bits."""
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        if "transparency" in image.info:
            return image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        return image
    if image.mode.startswith("I;16"):
        return image
    if image.mode == "I":
        return Image.fromarray(np.asarray(image).clip(0, 65535).astype(np.uint16))
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        opaque = image.mode == "P" and "transparency" not in image.info
        return image.convert("RGB" if opaque else "RGBA")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        return image.convert("RGB")
    raise UnsupportedMediaError(f"pictures of mode {image.mode} are not read", code="not_an_image")
