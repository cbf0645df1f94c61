"""Pixels in the order that a contract's tensor has, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput


def to_planes(pixels: NDArray[np.uint8], spec: ImageInput) -> NDArray[np.uint8]:
    """``(h, w)`` or ``(h, w, 3)`` bytes in RGB to one instance of the contract's shape."""
    last = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if spec.channel_order == "BGR":
        last = last[..., ::-1]
    return np.ascontiguousarray(last if spec.layout == "NHWC" else last.transpose(2, 0, 1))


def to_pixels(planes: NDArray[np.uint8], spec: ImageInput) -> NDArray[np.uint8]:
    """``(n, h, w, channels)`` bytes in RGB that gave a batch: ``to_planes`` undone."""
    last = planes if spec.layout == "NHWC" else planes.transpose(0, 2, 3, 1)
    return last[..., ::-1] if spec.channel_order == "BGR" else last
