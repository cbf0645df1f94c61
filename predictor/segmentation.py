"""The task ``segmentation``: class probabilities of every pixel of a tile."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from artifact import Contract, RasterInput
from predictor.networks import Forward
from predictor.patches import enlarge, framed, gather

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
        self, network: Forward, batch: NDArray[np.uint8], dtype: torch.dtype
    ) -> NDArray[np.uint8]:
        """``(n, bands, h, w)`` bytes to ``(n, classes, h, w)`` bytes, 255 being certainty."""
        # A network that works on patches is asked for an answer a patch.
        patch = int(getattr(network, "patch", 1))
        coarse = getattr(network, "coarse", network)
        images = gather(torch.from_numpy(batch), patch, self._factor, self._offset, dtype)
        logits = framed(coarse(images)).div_(self._temperature)
        levels = torch.empty((len(batch), logits.shape[1], *batch.shape[2:]), dtype=torch.uint8)
        # Strip by strip: the probabilities of a whole tile take several times its answer's memory.
        step = max(1, STRIP_ROWS // patch)
        for top in range(0, batch.shape[2] // patch, step):
            bottom = min(top + step, batch.shape[2] // patch)
            strip = torch.softmax(enlarge(logits, top, bottom, patch), dim=1)
            levels[:, :, top * patch : bottom * patch] = strip.mul_(LEVELS).round_()
        found: NDArray[np.uint8] = levels.numpy()
        return found


TASK = Segmentation
