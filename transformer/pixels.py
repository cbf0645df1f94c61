"""Pixels that come as numbers, in nested arrays or tensors, as the image file that holds the same.

So a picture is bounded, decoded and scaled in one place, whatever it came as.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.errors import InvalidRequestError
from serving.json import holds_numbers_only
from transformer.depth import levels_of

MAX_CHANNELS = 4
"""Grey, grey and alpha, RGB, RGBA. Rasters of more bands come as files."""

SHAPES = "height × width, height × width × channels or channels × height × width"


def numbers_of(values: list[Any], instance: int | None) -> NDArray[Any]:
    """Nested JSON arrays as an array: of bytes where the numbers are bytes.

    Numbers that are all within 0 and 1 are shares of full intensity, for JSON names no type.

    Raises:
        InvalidRequestError: something else than numbers, or rows of different lengths.
    """
    if not holds_numbers_only(values):
        raise InvalidRequestError("pixels must be numbers", instance=instance)
    try:
        found = np.asarray(values)
    except ValueError:
        raise InvalidRequestError(
            "the rows of pixels differ in length", instance=instance
        ) from None
    return (
        found.astype(np.float32) if found.size and 0 <= found.min() <= found.max() <= 1 else found
    )


def encode_pixels(values: NDArray[Any], instance: int | None, measured: bool = False) -> bytes:
    """An image file of one picture's numbers: PNG where these are bytes, else TIFF.

    Args:
        values: in one of ``SHAPES``, of any numeric type.
        measured: whether numbers stay as they are, for a raster; else those of which no picture's
            file is made become bytes, as ``transformer.depth`` sees them.

    Raises:
        InvalidRequestError: of another shape, or without pixels.
    """
    pixels = _smallest(_channels_last(values, instance))
    deep = pixels.dtype != np.uint8
    if deep and not measured and (pixels.ndim == 3 or pixels.dtype.kind == "i"):
        numbers = pixels
        pixels = levels_of(lambda start, stop: numbers[start:stop], *pixels.shape[:2])
    buffer = io.BytesIO()
    if pixels.dtype == np.uint8:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    import tifffile  # only here: most services never see such numbers

    colour = pixels.ndim == 3 and pixels.shape[2] >= 3
    extra = ["unassalpha"] if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else None
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if pixels.ndim == 3 else None,
        extrasamples=extra,
        metadata=None,
    )
    return buffer.getvalue()


def _channels_last(values: NDArray[Any], instance: int | None) -> NDArray[Any]:
    """``(height, width)`` or ``(height, width, channels)``."""
    if 0 not in values.shape:
        if values.ndim == 2:
            return values
        if values.ndim == 3 and values.shape[2] <= MAX_CHANNELS:
            return values if values.shape[2] > 1 else values[..., 0]
        if values.ndim == 3 and values.shape[0] <= MAX_CHANNELS:
            return np.moveaxis(values, 0, 2) if values.shape[0] > 1 else values[0]
    raise InvalidRequestError(
        f"pixels come as {SHAPES}, with up to {MAX_CHANNELS} channels, not as {list(values.shape)}",
        instance=instance,
    )


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a type that image files have."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind in "iu":
        low, high = values.min(), values.max()
        for kind in (np.uint8, np.uint16, np.int16):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return np.ascontiguousarray(values, kind)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, np.float32)
