"""TIFF, BigTIFF and GeoTIFF: the first image of a file, a few rows at a time.

tifffile reads the tags; strips and tiles are decompressed one by one when their rows are wanted.
Every number that a file says of itself is checked against the file and the limits first.
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

from serving.errors import MalformedRequestError, ServingError, TooLargeError, UnsupportedMediaError
from transformer.segmentation.codecs import (
    DEFLATE,
    JPEG,
    NONE,
    OLD_DEFLATE,
    decompress,
    decompress_jpeg,
)
from transformer.segmentation.raster import GEO_TAGS, GeoTag, Layout, RasterLimits
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
ALPHAS = (1, 2)
"""ExtraSamples that are opacity: premultiplied or not."""

GDAL_NODATA = 42113
JPEG_TABLES = 347
MAX_BANDS = 64
MAX_GEO_VALUES = 4096
WINDOW_BYTES = 16 << 20
"""Of an uncompressed strip, read at a time."""

NUMBERS = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64",
)  # fmt: skip


class TiffRaster:
    """The first image of a TIFF.

    Raises:
        MalformedRequestError: damaged or cut off.
        UnsupportedMediaError: a kind of TIFF that is not read; says which.
        TooLargeError: over a limit.
    """

    def __init__(self, data: bytes | memoryview, limits: RasterLimits) -> None:
        self._data = memoryview(data)
        view = _View(self._data)
        try:
            with _refused():
                check_directory(self._data)
                with tifffile.TiffFile(view) as file:  # type: ignore[arg-type]
                    page = file.pages.first
                    assert isinstance(page, tifffile.TiffPage)
                self._read(page, limits)
        finally:
            # tifffile's objects refer to each other in circles, which are rarely collected.
            view.release()
        self._held: dict[int, NDArray[Any]] = {}

    def _read(self, page: tifffile.TiffPage, limits: RasterLimits) -> None:
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        if min(height, width, samples) < 1 or page.imagedepth != 1:
            raise ValueError("no pixels")
        limits.check(width, height)
        if samples > MAX_BANDS:
            raise UnsupportedMediaError(
                f"the TIFF has {samples} bands; at most {MAX_BANDS} are read"
            )
        if int(page.compression) not in COMPRESSIONS:
            known = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
            raise UnsupportedMediaError(
                f"TIFF compression {int(page.compression)} is not read; these are: {known}"
            )
        if page.dtype is None or page.dtype.name not in NUMBERS:
            raise UnsupportedMediaError(
                f"TIFFs of {page.bitspersample} bits a sample are not read; 8, 16 and 32 are"
            )
        if page.bitspersample != page.dtype.itemsize * 8 or page.fillorder != 1:
            raise UnsupportedMediaError("TIFFs of packed or reversed bits are not read")
        if page.photometric not in (MINIMUM_IS_WHITE, MINIMUM_IS_BLACK, RGB, YCBCR):
            raise UnsupportedMediaError(
                f"TIFFs of colour space {int(page.photometric)} are not read; "
                "grey, RGB, multi-band and JPEG's YCbCr are"
            )
        self._jpeg = page.compression == JPEG
        if page.photometric == YCBCR and not self._jpeg:
            raise UnsupportedMediaError("YCbCr TIFFs are read only in JPEG compression")
        if self._jpeg and page.dtype != np.uint8:
            raise UnsupportedMediaError("JPEG TIFFs are read only with 8 bits")
        self._ycbcr = page.photometric == YCBCR
        self._inverted = page.photometric == MINIMUM_IS_WHITE
        if self._inverted and page.dtype.kind != "u":
            raise UnsupportedMediaError("inverted TIFFs are read only with unsigned numbers")
        self._tables = _bytes_of(page, JPEG_TABLES)
        self._compression = int(page.compression)
        self._predictor = int(page.predictor)
        if self._predictor not in (1, 2, 3) or (self._predictor == 3 and page.dtype.kind != "f"):
            raise UnsupportedMediaError(f"TIFF predictor {self._predictor} is not read")
        self._dtype = page.dtype.newbyteorder(page.parent.byteorder)
        self._samples = samples
        self._planar = samples > 1 and page.planarconfig == 2
        self._width, self._height = width, height
        if page.is_tiled:
            self._part = (page.tilelength, page.tilewidth)
        else:
            self._part = (min(page.rowsperstrip, height), width)
        if min(self._part) < 1:
            raise ValueError("no parts")
        limits.check(width, height, samples * page.dtype.itemsize)
        limits.check(self._part[1], self._part[0])  # a tile is larger than its image at times
        self._tiled = page.is_tiled
        self._across = math.ceil(width / self._part[1])
        self._down = math.ceil(height / self._part[0])
        count = self._across * self._down * (samples if self._planar else 1)
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        if len(self._offsets) < count or len(self._counts) < count:
            raise ValueError("parts are missing")
        self._plain = self._as_it_lies()
        if self._plain is None:
            self._divide_strips(limits)
            self._check_parts(limits)
        extra = page.extrasamples
        alpha = samples > 1 and bool(extra) and int(extra[-1]) in ALPHAS
        self.layout = Layout(
            height,
            width,
            samples - alpha,
            page.dtype.newbyteorder("=").name,
            alpha,
            _nodata_of(page),
            tuple(_geography(page)),
        )

    def _check_parts(self, limits: RasterLimits) -> None:
        """A part is decompressed at once, and a row of parts is kept while it is read from."""
        length, width = self._part
        samples = 1 if self._planar else self._samples
        one = length * width * samples * self._dtype.itemsize
        row = min(length, self._height) * self._width * self._samples * self._dtype.itemsize
        if max(one, row) > limits.part_bytes:
            kind = "row of tiles" if self._tiled else "strip"
            raise TooLargeError(
                f"a {kind} of the TIFF has {max(one, row)} bytes; the limit is "
                f"{limits.part_bytes} (write it in smaller tiles or strips)",
                code="image_too_large",
            )

    def _divide_strips(self, limits: RasterLimits) -> None:
        """Strips that are not compressed are read a few rows at a time, however long they are."""
        if self._tiled or self._compression != NONE:
            return
        length = self._part[0]
        row_bytes = self._width * (1 if self._planar else self._samples) * self._dtype.itemsize
        row = self._width * self._samples * self._dtype.itemsize
        rows = max(1, min(limits.part_bytes, WINDOW_BYTES) // row)
        if rows >= length:
            return
        if self._down > 1:
            # All parts must be of one length but the last: the longest that divides a strip.
            rows = next(n for n in range(rows, 0, -1) if length % n == 0)
        offsets, counts = [], []
        for plane in range(self._samples if self._planar else 1):
            for strip in range(self._down):
                place = plane * self._down + strip
                offset, count = int(self._offsets[place]), int(self._counts[place])
                whole = min(length, self._height - strip * length)
                if (offset or count) and count < whole * row_bytes:
                    raise ValueError("a strip is cut off")
                for first in range(0, whole, rows):
                    size = min(rows, whole - first) * row_bytes
                    offsets.append(offset + first * row_bytes if count else 0)
                    counts.append(size if count else 0)
        self._part = (rows, self._width)
        self._offsets, self._counts = tuple(offsets), tuple(counts)
        self._down = math.ceil(self._height / rows)

    def _as_it_lies(self) -> NDArray[Any] | None:
        """All pixels as a view of the file, where they lie in it as an array would."""
        if (
            self._compression != NONE
            or self._predictor != 1
            or self._tiled
            or self._planar
            or self._inverted
            or not self._dtype.isnative
        ):
            return None
        rows = self._part[0]
        row_bytes = self._width * self._samples * self._dtype.itemsize
        starts = np.arange(0, self._height, rows) * row_bytes
        offsets = np.array(self._offsets[: self._down], np.int64)
        counts = np.array(self._counts[: self._down], np.int64)
        end = int(offsets[0]) + self._height * row_bytes
        if (
            (offsets - offsets[0] != starts).any()
            or (counts[:-1] != rows * row_bytes).any()
            or counts[-1] < self._height * row_bytes - starts[-1]
            or not 0 < offsets[0] < end <= len(self._data)
        ):
            return None
        found: NDArray[Any] = np.frombuffer(self._data[int(offsets[0]) : end], self._dtype)
        return found.reshape(self._height, self._width, self._samples)

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """See ``Raster``. Parts that end before ``start`` are let go of."""
        if self._plain is not None:
            return self._plain[start:stop]
        length = self._part[0]
        first, last = start // length, (stop - 1) // length
        with _refused():
            for index in [i for i in self._held if i < first]:
                del self._held[index]
            for index in range(first, last + 1):
                if index not in self._held:
                    self._held[index] = self._band(index)
            bands = [
                self._held[i][max(0, start - i * length) : stop - i * length]
                for i in range(first, last + 1)
            ]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    def _band(self, index: int) -> NDArray[Any]:
        """All strips or tiles of one row of them: ``(h, width, samples)``."""
        height = min(self._part[0], self._height - index * self._part[0])
        out = np.empty((height, self._width, self._samples), self.layout.dtype)
        planes = range(self._samples) if self._planar else (None,)
        for number, plane in enumerate(planes):
            for column in range(self._across):
                left = column * self._part[1]
                width = min(self._part[1], self._width - left)
                place = (number * self._down + index) * self._across + column
                target = out[:, left : left + width]
                if plane is not None:
                    target = target[..., plane : plane + 1]
                self._fill(target, place, height)
        return out

    def _fill(self, target: NDArray[Any], place: int, height: int) -> None:
        offset, count = int(self._offsets[place]), int(self._counts[place])
        if count == 0 and offset == 0:
            target[:] = 0  # a sparse file: what was never written
            return
        if offset < 0 or count < 1 or offset + count > len(self._data):
            raise ValueError("a part lies outside of the file")
        data = self._data[offset : offset + count]
        samples = target.shape[2]
        rows = self._part[0] if self._tiled else height
        shape = (rows, self._part[1], samples)
        pixels = self._jpeg_part(data, shape) if self._jpeg else self._part_of(data, shape)
        if self._inverted:
            pixels = np.iinfo(pixels.dtype).max - pixels
        target[:] = pixels[: target.shape[0], : target.shape[1]]

    def _jpeg_part(self, data: memoryview, shape: tuple[int, int, int]) -> NDArray[Any]:
        image = decompress_jpeg(data, self._tables, self._ycbcr)
        # Encoders may make the last strip as long as the others.
        if image.width != shape[1] or not shape[0] <= image.height <= self._part[0]:
            raise ValueError("a JPEG of another size")
        if len(image.getbands()) != shape[2]:
            raise ValueError("a JPEG of other bands")
        return np.asarray(image).reshape(image.height, shape[1], shape[2])

    def _part_of(self, data: memoryview, shape: tuple[int, int, int]) -> NDArray[Any]:
        rows, width, samples = shape
        row_bytes = width * samples * self._dtype.itemsize
        raw = decompress(data, self._compression, rows, row_bytes)
        if self._predictor == 3:
            return _float_differences(raw, shape, self._dtype.itemsize)
        pixels = np.frombuffer(raw, self._dtype, rows * width * samples).reshape(shape)
        if self._predictor == 2:
            # Differences are of the bit patterns, also where they stand for floats.
            native = pixels.astype(self._dtype.newbyteorder("="))
            whole = native.view(f"u{native.itemsize}")
            return np.add.accumulate(whole, axis=1, dtype=whole.dtype).view(native.dtype)
        return pixels


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
        part = self._data[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)


def _float_differences(
    raw: bytes | memoryview, shape: tuple[int, int, int], size: int
) -> NDArray[Any]:
    """Undo predictor 3 (TIFF Technical Note 3): bytes of equal weight side by side, differenced."""
    rows, width, samples = shape
    levels = np.frombuffer(raw, np.uint8, rows * width * samples * size)
    levels = levels.reshape(rows, size * width, samples)
    levels = np.add.accumulate(levels, axis=1, dtype=np.uint8).reshape(rows, size, width * samples)
    ordered = np.ascontiguousarray(levels.transpose(0, 2, 1))
    return ordered.view(f">f{size}").reshape(shape)


def _geography(page: tifffile.TiffPage) -> Iterator[GeoTag]:
    for code in GEO_TAGS:
        tag = page.tags.get(code)
        if tag is not None and tag.count <= MAX_GEO_VALUES:
            yield GeoTag(code, int(tag.dtype), tag.count, tag.value)


def _nodata_of(page: tifffile.TiffPage) -> float | None:
    tag = page.tags.get(GDAL_NODATA)
    if tag is None:
        return None
    try:
        return float(str(tag.value).strip().strip("\x00"))
    except ValueError:
        return None


def _bytes_of(page: tifffile.TiffPage, code: int) -> bytes | None:
    tag = page.tags.get(code)
    return bytes(tag.value) if tag is not None else None


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
