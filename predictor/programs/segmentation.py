"""The task ``segmentation``: class probabilities of every pixel of a tile."""

from __future__ import annotations

import torch
from torch import Tensor

from artifact import Contract, PhotographContract, RasterInput
from predictor.networks import Network
from predictor.programs.program import Program
from predictor.programs.raw import RawProgram

LEVELS = 255
"""A probability travels as a byte: a 255th is finer than any decision it is used for."""


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
        pixels = batch.to(torch.float32) * self._factor - self._offset
        images = pixels.to(self.input_dtype, memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        probabilities = torch.softmax(logits.float() / self.temperature, dim=1)
        return (probabilities * LEVELS).round().to(torch.uint8)


def program_of(contract: Contract, network: Network, temperature: float) -> Program:
    """The program of the contract's kind: of photographs the scores are wanted as they are."""
    if isinstance(contract, PhotographContract):
        return RawProgram(contract, network, temperature)
    return SegmentationProgram(contract, network, temperature)


TASK = program_of
