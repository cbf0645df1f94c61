"""Numbers of pictures as the network is shown them, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput

LOOKED_AT = 4096
"""Pixels of a picture that are looked at, in whole rows that are evenly spaced."""

ALONE = 1 << 18
"""Multiplications up to which OpenBLAS needs no other thread. To wake one costs ten times what it
takes off, in a server whose threads have other things to do."""

Numbers = dict[str, NDArray[np.float32]]
"""One a picture, by a statistic's name."""


class GreyStatistics:
    """Brightness, contrast, sharpness and balance of pictures of one size.

    Args:
        height, width: of each, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        rows = max(1, min(height, LOOKED_AT // width))
        self._rows = np.linspace(0, height - 1, rows).round().astype(np.intp)
        self._all = rows == height
        down = np.where(2 * self._rows + 1 < height, -1.0, 1.0)
        across = np.where(2 * np.arange(width) + 1 < width, -1.0, 1.0)
        if width % 2:
            across[width // 2] = 0.0
        down[2 * self._rows + 1 == height] = 0.0
        ones = np.ones((rows, width))
        templates = np.stack([ones, ones * across, ones * down[:, None], np.outer(down, across)])
        self._templates = templates.reshape(4, -1).T.astype(np.float32).copy()

    def of(self, grey: NDArray[np.uint8]) -> Numbers:
        """Of ``(n, height, width)`` intensities."""
        if not self._all:
            grey = grey[:, self._rows]
        flat = grey.reshape(len(grey), -1).astype(np.float32)
        pixels = flat.shape[1]
        rows = max(1, ALONE // self._templates.size)
        parts = [
            flat[start : start + rows] @ self._templates for start in range(0, len(flat), rows)
        ]
        total, right, lower, diagonal = np.concatenate(parts).T
        mean = total / pixels
        variance = np.maximum(np.einsum("ij,ij->i", flat, flat) / pixels - mean * mean, 0)
        deviation = np.sqrt(variance)
        # In bytes, which are three times as fast as floats are here
        one, next_one = grey[:, :, :-1], grey[:, :, 1:]
        steps = np.maximum(one, next_one) - np.minimum(one, next_one)
        edges = steps.reshape(len(grey), -1).sum(axis=1, dtype=np.uint32) / max(1, steps[0].size)
        # What is black or of one tone has no balance and no edges.
        light_there, tones_there = np.maximum(total, 1), np.maximum(deviation, 1)
        return {
            "brightness": mean / 255,
            "contrast": deviation / 255,
            "sharpness": edges / tones_there,
            "horizontal balance": right / light_there,
            "vertical balance": lower / light_there,
            "diagonal balance": diagonal / light_there,
        }


class PictureStatistics:
    """Those of pictures of one contract.

    Of colours, the second channel is looked at: green, which is most of what is seen as light.
    """

    def __init__(self, spec: ImageInput) -> None:
        self._grey = GreyStatistics(spec.height, spec.width)
        self._channel = 1 if spec.mode == "RGB" else 0
        self._layout = spec.layout

    def of(self, planes: NDArray[np.uint8]) -> Numbers:
        """Of ``(n, *spec.shape)`` intensities."""
        last = self._layout == "NHWC"
        return self._grey.of(planes[..., self._channel] if last else planes[:, self._channel])
