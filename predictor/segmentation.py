"""The task ``segmentation``: class probabilities of every pixel of a tile."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from artifact import Contract, RasterInput

LEVELS = 255
"""A probability travels as a byte: a 255th is finer than any decision it is used for."""

STRIP_ROWS = 64
"""Rows of a tile that become probabilities at a time: they stay in the processor's cache."""


class Segmentation:
    """Bytes in, bytes out: normalised here, so that a tile travels in a quarter of the size."""

    def __init__(self, contract: Contract, temperature: float) -> None:
        spec = contract.input_as(RasterInput)
        self._smallest = (1, len(spec.bands), spec.multiple, spec.multiple)
        mean = torch.tensor(spec.mean)[:, None, None]
        std = torch.tensor(spec.std)[:, None, None]
        self._factor = 1 / (255 * std)
        self._offset = mean / std
        self._temperature = temperature

    @property
    def pass_rows(self) -> int:
        """A tile fills the processor's caches by itself."""
        return 1

    @property
    def warm_up_shapes(self) -> list[tuple[int, ...]]:
        return [self._smallest]

    def answer(
        self, network: nn.Module, batch: NDArray[np.uint8], dtype: torch.dtype
    ) -> NDArray[np.uint8]:
        """``(n, bands, h, w)`` bytes to ``(n, classes, h, w)`` bytes, 255 being certainty."""
        images = torch.from_numpy(batch).to(torch.float32, memory_format=torch.channels_last)
        images = images.mul_(self._factor).sub_(self._offset).to(dtype)
        logits = network(images)
        levels = np.empty(logits.shape, np.uint8)
        # Strip by strip: the probabilities of a whole tile take several times its answer's memory.
        for top in range(0, logits.shape[2], STRIP_ROWS):
            strip = logits[:, :, top : top + STRIP_ROWS].float() / self._temperature
            strip = torch.softmax(strip, dim=1).mul_(LEVELS).round_().to(torch.uint8)
            levels[:, :, top : top + STRIP_ROWS] = strip.numpy()
        return levels
