"""TIFF, BigTIFF and GeoTIFF: the first image of a file, a few rows at a time.

tifffile reads the tags; what is not read is refused by its kind.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from serving.errors import MalformedRequestError, ServingError, UnsupportedMediaError
from transformer.rasters.codecs import DEFLATE, JPEG, NONE, OLD_DEFLATE
from transformer.rasters.raster import Layout, RasterLimits
from transformer.rasters.tiff_parts import Elements, Parts
from transformer.rasters.tiff_tags import geography, has_alpha, nodata, scaling
from transformer.tiff_directory import check_directory

COMPRESSIONS = {
    NONE: "none",
    5: "LZW",
    JPEG: "JPEG",
    DEFLATE: "deflate",
    OLD_DEFLATE: "deflate",
    32773: "PackBits",
    50000: "Zstandard",
}
MINIMUM_IS_WHITE, MINIMUM_IS_BLACK, RGB, YCBCR = 0, 1, 2, 6
REDUCED, MASK = 1, 4
"""Bits of NewSubfileType: a smaller version of the image, and its mask."""

MAX_BANDS = 64
MAX_JPEG_BANDS = 4
MAX_DIRECTORIES = 64
"""That are looked at for a mask: of an image and its smaller versions."""

NUMBERS = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64",
)  # fmt: skip


class TiffRaster:
    """The first image of a TIFF, and its mask.

    Raises:
        MalformedRequestError: damaged or cut off.
        UnsupportedMediaError: a kind of TIFF that is not read; says which.
        TooLargeError: over a limit.
    """

    def __init__(self, data: bytes | memoryview, limits: RasterLimits) -> None:
        self._data = memoryview(data)
        self._mask: Parts | None = None
        view = _View(self._data)
        try:
            with _refused():
                count = _directories(self._data)
                with tifffile.TiffFile(view) as file:  # type: ignore[arg-type]
                    page = file.pages.first
                    assert isinstance(page, tifffile.TiffPage)
                    self._read(page, limits)
                    for number in range(1, count):
                        other = file.pages[number]
                        if isinstance(other, tifffile.TiffPage) and _is_mask_of(other, page):
                            self._mask = self._read_mask(other, limits)
                            break
        finally:
            # tifffile's objects refer to each other in circles, which are rarely collected.
            view.release()

    def _read(self, page: tifffile.TiffPage, limits: RasterLimits) -> None:
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        if min(height, width, samples) < 1 or page.imagedepth != 1:
            raise ValueError("no pixels")
        limits.check(width, height)
        _require_read(page)
        assert page.dtype is not None
        limits.check(width, height, samples * page.dtype.itemsize)
        missing = nodata(page)
        elements = Elements(
            width,
            samples,
            page.dtype.newbyteorder(page.parent.byteorder),
            inverted=page.photometric == MINIMUM_IS_WHITE,
            ycbcr=page.photometric == YCBCR,
            fill=_as_fill(missing, page.dtype),
        )
        self._parts = Parts(self._data, page, elements, limits)
        alpha = has_alpha(page)
        scales, offsets = scaling(page)
        self.layout = Layout(
            height,
            width,
            samples - alpha,
            page.dtype.newbyteorder("=").name,
            alpha,
            missing,
            tuple(geography(page)),
            scales,
            offsets,
        )

    def _read_mask(self, page: tifffile.TiffPage, limits: RasterLimits) -> Parts:
        """GDAL's internal mask: a bit or a byte a pixel, 0 where there is no data."""
        bits = page.bitspersample
        if bits not in (1, 8) or int(page.compression) not in COMPRESSIONS or page.fillorder != 1:
            raise UnsupportedMediaError(
                f"a mask of {bits} bits in compression {int(page.compression)} is not read",
                code="unsupported_tiff",
            )
        packed = bits == 1
        width = math.ceil(page.imagewidth / 8) if packed else page.imagewidth
        elements = Elements(width, 1, np.dtype(np.uint8), packed)
        self._mask_is_packed = packed
        return Parts(self._data, page, elements, limits)

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """See ``Raster``."""
        with _refused():
            return self._parts.rows(start, stop)

    def valid(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """See ``Raster``: neither masked nor in a part that was never written."""
        with _refused():
            written = self._parts.written(start, stop)
            if self._mask is None:
                return written
            rows = self._mask.rows(start, stop)[..., 0]
        if self._mask_is_packed:
            rows = np.unpackbits(rows, axis=1)[:, : self.layout.width]
        seen: NDArray[np.bool_] = rows != 0
        return seen if written is None else seen & written


def _directories(data: memoryview) -> int:
    """How many directories follow each other, each of them within bounds."""
    places = [0]
    while len(places) < MAX_DIRECTORIES:
        place = check_directory(data, places[-1] or None)
        if not place or place in places:
            break
        places.append(place)
    return len(places)


def _is_mask_of(page: tifffile.TiffPage, image: tifffile.TiffPage) -> bool:
    size = (page.imagelength, page.imagewidth) == (image.imagelength, image.imagewidth)
    return size and page.subfiletype & (REDUCED | MASK) == MASK and page.samplesperpixel == 1


def _require_read(page: tifffile.TiffPage) -> None:
    """Raises UnsupportedMediaError for a kind of TIFF that is not read."""
    samples = page.samplesperpixel
    jpeg = page.compression == JPEG
    if samples > MAX_BANDS:
        raise _unread(f"the TIFF has {samples} bands; at most {MAX_BANDS} are read")
    if int(page.compression) not in COMPRESSIONS:
        known = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
        raise _unread(f"TIFF compression {int(page.compression)} is not read; these are: {known}")
    if page.dtype is None or page.dtype.name not in NUMBERS:
        raise _unread(f"TIFFs of {page.bitspersample} bits a sample are not read; 8, 16 and 32 are")
    if page.bitspersample != page.dtype.itemsize * 8 or page.fillorder != 1:
        raise _unread("TIFFs of packed or reversed bits are not read")
    if page.photometric not in (MINIMUM_IS_WHITE, MINIMUM_IS_BLACK, RGB, YCBCR):
        raise _unread(
            f"TIFFs of colour space {int(page.photometric)} are not read; "
            "grey, RGB, multi-band and JPEG's YCbCr are"
        )
    if page.photometric == YCBCR and not jpeg:
        raise _unread("YCbCr TIFFs are read only in JPEG compression")
    if jpeg and page.dtype != np.uint8:
        raise _unread("JPEG TIFFs are read only with 8 bits")
    if jpeg and samples > MAX_JPEG_BANDS and page.planarconfig != 2:
        raise _unread(f"a JPEG of {samples} bands is not read; one a band is (planes)")
    if page.photometric == MINIMUM_IS_WHITE and page.dtype.kind != "u":
        raise _unread("inverted TIFFs are read only with unsigned numbers")
    if page.predictor not in (1, 2, 3) or (page.predictor == 3 and page.dtype.kind != "f"):
        raise _unread(f"TIFF predictor {int(page.predictor)} is not read")


def _unread(message: str) -> UnsupportedMediaError:
    return UnsupportedMediaError(message, code="unsupported_tiff")


def _as_fill(missing: float | None, dtype: np.dtype[Any]) -> float:
    """What GDAL gives for a part that was never written."""
    if missing is None:
        return 0.0
    if dtype.kind == "f":
        return missing
    limits = np.iinfo(dtype)
    return missing if limits.min <= missing <= limits.max and missing == int(missing) else 0.0


class _View(io.RawIOBase):
    """A file that is a view of bytes: ``io.BytesIO`` would copy them."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._place = 0

    def release(self) -> None:
        """Let go of the bytes."""
        self._data = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        # Of bytes, whatever it is a buffer of: tifffile reads long tags into arrays of numbers.
        target = memoryview(buffer).cast("B")
        part = self._data[self._place : self._place + len(target)]
        target[: len(part)] = part
        self._place += len(part)
        return len(part)


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """Whatever a parser or a codec raises means that these bytes are no readable TIFF."""
    try:
        yield
    except ServingError:
        raise
    except Exception:
        raise MalformedRequestError(
            "the TIFF is damaged or cut off", code="image_damaged"
        ) from None
