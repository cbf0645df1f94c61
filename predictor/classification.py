"""The task ``classification``: one vector of class probabilities an instance."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artifact import Contract
from predictor.networks import Forward

PASS_ROWS = 32
"""Rows of one forward pass. Fewer cost more each, and so do more: their activations leave the
processor's cache (one core of an AMD EPYC: 216 µs an image at 4, 159 at 32, 187 at 64)."""

WARM_UP_BATCHES = (1, 8)


class Classification:
    """Calibrated class probabilities."""

    def __init__(self, contract: Contract, temperature: float) -> None:
        self._shape = contract.input.shape
        self._temperature = temperature

    @property
    def pass_rows(self) -> int:
        return PASS_ROWS

    @property
    def warm_up_shapes(self) -> list[tuple[int, ...]]:
        return [(size, *self._shape) for size in WARM_UP_BATCHES]

    def answer(
        self, network: Forward, batch: NDArray[np.float32], dtype: torch.dtype
    ) -> NDArray[np.float32]:
        """``(n, channels, height, width)`` to ``(n, classes)`` float32; rows sum to 1."""
        images = torch.from_numpy(batch).to(dtype, memory_format=torch.channels_last, copy=False)
        parts: list[Tensor] = [network(part) for part in images.split(PASS_ROWS)]
        logits = (parts[0] if len(parts) == 1 else torch.cat(parts)).float()
        result: NDArray[np.float32] = torch.softmax(logits / self._temperature, dim=1).numpy()
        return result


TASK = Classification
