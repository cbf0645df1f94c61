"""The pixels of one image of a TIFF: strips and tiles, decompressed when their rows are wanted.

Every number that a file says of itself is checked against the file and the limits first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from serving.errors import TooLargeError
from transformer.rasters.codecs import JPEG, NONE, decompress, decompress_jpeg
from transformer.rasters.raster import RasterLimits

JPEG_TABLES = 347
WINDOW_BYTES = 16 << 20
"""Of an uncompressed strip, read at a time."""


@dataclass(frozen=True)
class Elements:
    """What a file's pixels are made of.

    Attributes:
        width: of a row, in elements of each band.
        samples: bands.
        dtype: of an element, in the file's byte order.
        packed: bits that are eight to an element, of one band.
        inverted: whether the greatest number is black.
        ycbcr: whether a JPEG's colours are luminance and chrominance.
        fill: of what was never written.
    """

    width: int
    samples: int
    dtype: np.dtype[Any]
    packed: bool = False
    inverted: bool = False
    ycbcr: bool = False
    fill: float = 0.0


class Parts:
    """Reads rows of one image.

    Raises:
        ValueError: parts are missing or have no pixels.
        TooLargeError: over a limit.
    """

    def __init__(
        self, data: memoryview, page: tifffile.TiffPage, elements: Elements, limits: RasterLimits
    ) -> None:
        self._data = data
        self._elements = elements
        self._dtype, self._samples = elements.dtype, elements.samples
        self._height, self._width = page.imagelength, elements.width
        self._planar = elements.samples > 1 and page.planarconfig == 2
        self._compression = int(page.compression)
        self._predictor = int(page.predictor)
        tables = page.tags.get(JPEG_TABLES)
        self._tables = None if tables is None else bytes(tables.value)
        self._tiled = page.is_tiled
        if page.is_tiled:
            across = page.tilewidth // 8 if elements.packed else page.tilewidth
            self._part = (page.tilelength, across)
        else:
            self._part = (min(page.rowsperstrip, self._height), self._width)
        if min(self._part) < 1:
            raise ValueError("no parts")
        # A tile is larger than its image at times.
        limits.check(self._part[1], self._part[0])
        self._across = math.ceil(self._width / self._part[1])
        self._down = math.ceil(self._height / self._part[0])
        self._planes = self._samples if self._planar else 1
        count = self._across * self._down * self._planes
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        if len(self._offsets) < count or len(self._counts) < count:
            raise ValueError("parts are missing")
        self._plain = self._as_it_lies()
        if self._plain is None:
            self._divide_strips(limits)
            self._check_parts(limits)
        self._held: dict[int, NDArray[Any]] = {}

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """``(stop - start, width, samples)``; parts that end before ``start`` are let go of."""
        if self._plain is not None:
            return self._plain[start:stop]
        length = self._part[0]
        first, last = start // length, (stop - 1) // length
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

    def written(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """``(stop - start, width)``: False where no band was ever written; None where all were."""
        if self._plain is not None:
            return None
        length, width = self._part
        found: NDArray[np.bool_] | None = None
        for index in range(start // length, (stop - 1) // length + 1):
            for column in range(self._across):
                if any(self._is_there(plane, index, column) for plane in range(self._planes)):
                    continue
                if found is None:
                    found = np.ones((stop - start, self._width), np.bool_)
                top = max(0, index * length - start)
                bottom = (index + 1) * length - start
                found[top:bottom, column * width : (column + 1) * width] = False
        return found

    def _place(self, plane: int, index: int, column: int) -> int:
        return (plane * self._down + index) * self._across + column

    def _is_there(self, plane: int, index: int, column: int) -> bool:
        place = self._place(plane, index, column)
        return bool(self._offsets[place] or self._counts[place])

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
            or self._elements.inverted
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

    def _band(self, index: int) -> NDArray[Any]:
        """All strips or tiles of one row of them: ``(h, width, samples)``."""
        height = min(self._part[0], self._height - index * self._part[0])
        shape = (height, self._width, self._samples)
        out = np.empty(shape, self._dtype.newbyteorder("="))
        for plane in range(self._planes):
            for column in range(self._across):
                left = column * self._part[1]
                width = min(self._part[1], self._width - left)
                target = out[:, left : left + width]
                if self._planar:
                    target = target[..., plane : plane + 1]
                if self._is_there(plane, index, column):
                    self._read(target, self._place(plane, index, column), height)
                else:
                    target[:] = self._elements.fill
        return out

    def _read(self, target: NDArray[Any], place: int, height: int) -> None:
        offset, count = int(self._offsets[place]), int(self._counts[place])
        if offset < 0 or count < 1 or offset + count > len(self._data):
            raise ValueError("a part lies outside of the file")
        data = self._data[offset : offset + count]
        rows = self._part[0] if self._tiled else height
        shape = (rows, self._part[1], target.shape[2])
        if self._compression == JPEG:
            pixels: NDArray[Any] = decompress_jpeg(
                data, self._tables, self._elements.ycbcr, shape, self._part[0]
            )
        else:
            pixels = self._part_of(data, shape)
        if self._elements.inverted:
            pixels = np.iinfo(pixels.dtype).max - pixels
        target[:] = pixels[: target.shape[0], : target.shape[1]]

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
