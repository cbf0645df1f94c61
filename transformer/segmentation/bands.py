"""From a raster's rows to the bytes that a network takes, and which pixels have data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import RasterInput
from serving.errors import InvalidRequestError
from transformer.rasters.raster import Layout, Raster

CHUNK_PIXELS = 1 << 20
CHUNK_BYTES = 16 << 20
"""Of a raster, that are read and scaled at a time: what lies between the file and the tiles stays
small."""


class Choice(NamedTuple):
    """What a request may say of its raster.

    Attributes:
        bands: which of the raster's the network gets, counted from 1; None for all in order.
        full_scale: the value of full intensity, as the file has it; None for the contract's.
        alpha: whether what the file says is opacity counts as that, not as one more band.
    """

    bands: tuple[int, ...] | None = None
    full_scale: float | None = None
    alpha: bool = True


class Strip(NamedTuple):
    """Rows that are ready: ``(bands, h, w)`` reduced bytes, and ``(H, W)`` validity at full size.

    ``valid`` is None where every pixel has data.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None


class BandReader:
    """Chooses, scales and reduces a raster's bands, from top to bottom.

    Raises:
        InvalidRequestError: the raster has other bands than the model takes, or an element type
            without a known full intensity.
    """

    def __init__(self, raster: Raster, spec: RasterInput, choice: Choice) -> None:
        self._raster = raster
        self._layout = layout = raster.layout
        self._bands = _chosen(layout, spec, choice)
        self._alpha = layout.alpha and choice.alpha and not _names_alpha(layout, choice)
        self._factor = spec.reduction
        # The network knows nothing of missing data: it gets what it has seen most of.
        self._fill = np.array([round(255 * mean) for mean in spec.mean], np.uint8)
        self._gains, self._biases = self._scaling(spec, choice)
        self._tables: list[NDArray[np.uint8]] = []
        if layout.dtype == "uint16":
            every = np.arange(1 << 16, dtype=np.float32)
            pairs = zip(self._gains, self._biases, strict=True)
            self._tables = [_rounded(every * gain + bias) for gain, bias in pairs]
        self._nodata = _as_element(layout.nodata, layout.dtype)
        plain = (self._gains == 1).all() and (self._biases == 0).all()
        self._as_it_is = layout.dtype == "uint8" and bool(plain)

    @property
    def height(self) -> int:
        """Reduced rows."""
        return math.ceil(self._layout.height / self._factor)

    @property
    def width(self) -> int:
        """Reduced columns."""
        return math.ceil(self._layout.width / self._factor)

    @property
    def rows_per_chunk(self) -> int:
        """Reduced rows that are read at a time."""
        row = self._layout.width * self._factor
        return max(1, min(CHUNK_PIXELS // row, CHUNK_BYTES // (row * self._layout.pixel_bytes)))

    def read(self, start: int, stop: int) -> Strip:
        """Reduced rows ``start`` to ``stop``."""
        factor = self._factor
        raw = self._raster.rows(start * factor, min(stop * factor, self._layout.height))
        chosen = raw[..., self._bands]
        valid = self._valid(raw, chosen, start * factor)
        pixels = self._scaled(chosen)
        if valid is not None:
            pixels = np.where(valid[..., np.newaxis], pixels, self._fill)
        return Strip(reduce(pixels, factor), valid)

    def _scaling(
        self, spec: RasterInput, choice: Choice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What each band's numbers are multiplied by, and what is added then, for 0 to 255."""
        layout = self._layout
        count = len(spec.bands)
        if not layout.scales:
            full = choice.full_scale or _full_scale(layout.dtype, spec)
            return np.full(count, 255 / full, np.float32), np.zeros(count, np.float32)
        scales = np.array(layout.scales)[self._bands]
        offsets = np.array(layout.offsets)[self._bands]
        # Full intensity is named in the file's numbers; else it is that of what they stand for.
        brightest = np.full(count, _full_scale("float32", spec))
        if choice.full_scale:
            brightest = choice.full_scale * scales
        gains, biases = 255 * scales / brightest, 255 * offsets / brightest
        return gains.astype(np.float32), biases.astype(np.float32)

    def _scaled(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        if self._as_it_is:
            return values  # type: ignore[return-value]
        if self._tables:
            found = np.empty(values.shape, np.uint8)
            for band, table in enumerate(self._tables):
                found[..., band] = table[values[..., band]]
            return found
        with np.errstate(over="ignore", invalid="ignore"):
            levels = values.astype(np.float32) * self._gains + self._biases
        return _rounded(np.nan_to_num(levels, nan=0.0))

    def _valid(
        self, raw: NDArray[np.generic], chosen: NDArray[np.generic], start: int
    ) -> NDArray[np.bool_] | None:
        """A pixel has data unless the file has none there, it is transparent, or all its bands are
        nodata or NaN.
        """
        found = self._raster.valid(start, start + len(raw))
        if self._alpha:
            here = raw[..., -1] != 0
            found = here if found is None else found & here
        if self._nodata is not None:
            here = (chosen != self._nodata).any(axis=2)
            found = here if found is None else found & here
        if raw.dtype.kind == "f":
            here = ~np.isnan(chosen).all(axis=2)
            found = here if found is None else found & here
        return None if found is None or found.all() else found


def _rounded(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return found


def reduce(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """``(h, w, bands)`` to planes, ``factor`` × ``factor`` pixels averaged into one.

    Blocks at the border may be smaller. The averages are Pillow's to the last bit; those of four
    pixels are made here, in half the time.
    """
    if factor == 1:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if factor == 2:
        return _halved(pixels)
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(pixels[..., i])).reduce(factor))
        for i in range(pixels.shape[2])
    ]
    return np.stack(planes)


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, bands = pixels.shape
    found = np.empty((bands, (height + 1) // 2, (width + 1) // 2), np.uint8)
    rows = np.add(pixels[: height - 1 : 2], pixels[1::2], dtype=np.uint16)
    for band, plane in enumerate(found):
        sums = rows[:, : width - 1 : 2, band] + rows[:, 1::2, band]
        sums += 2
        sums >>= 2
        plane[: height // 2, : width // 2] = sums
        if width % 2:
            plane[: height // 2, -1] = (rows[:, -1, band] + 1) >> 1
        if height % 2:
            last = pixels[-1, :, band].astype(np.uint16)
            plane[-1, : width // 2] = (last[: width - 1 : 2] + last[1::2] + 1) >> 1
            if width % 2:
                plane[-1, -1] = last[-1]
    return found


def _names_alpha(layout: Layout, choice: Choice) -> bool:
    """Whether the band of opacity is asked for by its number: GDAL calls a fourth one that."""
    return choice.bands is not None and max(choice.bands) == layout.bands + 1


def _chosen(layout: Layout, spec: RasterInput, choice: Choice) -> list[int] | slice:
    wanted = len(spec.bands)
    names = ", ".join(spec.bands)
    there = layout.bands + layout.alpha
    if choice.bands is None:
        bands = layout.bands if choice.alpha else there
        if bands != wanted:
            raise InvalidRequestError(
                f"the image has {bands} band{'s' * (bands != 1)}; the model takes "
                f"{wanted} ({names}); say which with the parameter bands, such as "
                f"bands={','.join(str(i + 1) for i in range(wanted))}",
                code="wrong_bands",
            )
        return slice(0, wanted)
    if len(choice.bands) != wanted:
        raise InvalidRequestError(
            f"bands names {len(choice.bands)}; the model takes {wanted} ({names})",
            code="wrong_bands",
        )
    if max(choice.bands) > there:
        raise InvalidRequestError(
            f"bands names band {max(choice.bands)}; the image has {there}",
            code="wrong_bands",
        )
    return [band - 1 for band in choice.bands]


def _as_element(value: float | None, dtype: str) -> Any:
    """The nodata value as an element of the raster; None where no element can be equal to it."""
    kind = np.dtype(dtype)
    if value is None or np.isnan(value):
        return None
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return kind.type(value)
    limits = np.iinfo(kind)
    if not limits.min <= value <= limits.max or value != int(value):
        return None
    return kind.type(int(value))


def _full_scale(dtype: str, spec: RasterInput) -> float:
    name = "float32" if dtype in ("float16", "float64") else dtype
    if name not in spec.full_scale:
        known = ", ".join(spec.full_scale)
        raise InvalidRequestError(
            f"the image is of {dtype}, and {known} are scaled by themselves; say what full "
            "intensity is with the parameter full_scale",
            code="unknown_scale",
        )
    return spec.full_scale[name]
