"""The task ``segmentation``: class probabilities of every pixel of a tile."""

from __future__ import annotations

import torch
from torch import Tensor

from artifact import Contract, RasterInput
from predictor.networks import Network
from predictor.programs.patches import enlarge, framed, gather
from predictor.programs.program import Program

LEVELS = 255
"""A probability travels as a byte: a 255th is finer than any decision it is used for."""

STRIP_ROWS = 64
"""Rows of a tile that become probabilities at a time: they stay in the processor's cache."""


class SegmentationProgram(Program):
    """Bytes in, bytes out: normalised here, so that a tile travels in a quarter of the size.

    Shapes: ``(n, bands, h, w)`` bytes to ``(n, classes, h, w)`` bytes, 255 being certainty.
    """

    _factor: Tensor
    _offset: Tensor

    def __init__(self, contract: Contract, network: Network, temperature: float) -> None:
        super().__init__(contract, network, temperature)
        spec = contract.input_as(RasterInput)
        std = torch.tensor(spec.std)[:, None, None]
        mean = torch.tensor(spec.mean)[:, None, None]
        self.register_buffer("_factor", 1 / (255 * std), persistent=False)
        self.register_buffer("_offset", mean / std, persistent=False)

    def forward(self, batch: Tensor) -> Tensor:
        # A network that works on patches is asked for one answer per patch.
        patch = self.network.patch
        images = gather(batch, patch, self._factor, self._offset, self.input_dtype)
        logits = framed(self.network.coarse(images)).div_(self.temperature)
        shape = (len(batch), logits.shape[1], *batch.shape[2:])
        levels = torch.empty(shape, dtype=torch.uint8, device=batch.device)
        # Strip by strip: the probabilities of a whole tile take several times its answer's memory.
        step = max(1, STRIP_ROWS // patch)
        for top in range(0, batch.shape[2] // patch, step):
            bottom = min(top + step, batch.shape[2] // patch)
            strip = torch.softmax(enlarge(logits, top, bottom, patch), dim=1)
            levels[:, :, top * patch : bottom * patch] = strip.mul_(LEVELS).round_()
        return levels


TASK = SegmentationProgram
