"""Pixels to the tensor that a contract describes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput
from artifact.contract import BYTE


def to_tensor(pixels: NDArray[np.uint8], spec: ImageInput) -> NDArray[np.float32]:
    """``(h, w)`` or ``(h, w, 3)`` bytes to one instance of the contract's layout, in float32.

    The order of operations is torchvision's (divide by 255, subtract, divide, all in float32),
    which is what makes the result the same to the last bit.
    """
    planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if spec.channel_order == "BGR":
        planes = planes[::-1]
    mean = np.asarray(spec.mean, np.float32)[:, np.newaxis, np.newaxis]
    std = np.asarray(spec.std, np.float32)[:, np.newaxis, np.newaxis]
    tensor: NDArray[np.float32] = np.ascontiguousarray(planes, np.float32)
    tensor = tensor / np.float32(255) if spec.scale == BYTE else tensor * np.float32(spec.scale)
    tensor -= mean
    tensor /= std
    return tensor if spec.layout == "NCHW" else np.ascontiguousarray(tensor.transpose(1, 2, 0))


def to_pixels(batch: NDArray[np.float32], spec: ImageInput) -> NDArray[np.uint8]:
    """``(n, h, w, channels)`` bytes that gave a batch: ``to_tensor`` undone, in RGB."""
    last = batch if spec.layout == "NHWC" else batch.transpose(0, 2, 3, 1)
    values = last * np.asarray(spec.std, np.float32) + np.asarray(spec.mean, np.float32)
    levels: NDArray[np.uint8] = np.clip(np.rint(values / np.float32(spec.scale)), 0, 255).astype(
        np.uint8
    )
    return levels[..., ::-1] if spec.channel_order == "BGR" else levels
