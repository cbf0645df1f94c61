"""The tasks whose outputs are the network's own: what they mean is the transformer's to say."""

from __future__ import annotations

import torch
from torch import Tensor

from predictor.programs.program import Program


class RawProgram(Program):
    """The network's outputs as they are, in float32 where they are no integers.

    Shapes: ``(n, channels, height, width)`` float32 to the contract's outputs.
    """

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        images = batch.to(self.input_dtype, memory_format=torch.channels_last)
        found = self.network(images)
        if isinstance(found, Tensor):
            return _single(found)
        return tuple(_single(tensor) for tensor in found)


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
