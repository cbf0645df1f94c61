"""The task ``classification``: one vector of class probabilities per instance."""

from __future__ import annotations

import torch
from torch import Tensor

from predictor.programs.program import Program


class ClassificationProgram(Program):
    """Calibrated class probabilities.

    Shapes: ``(n, channels, height, width)`` float32 to ``(n, classes)`` float32; rows sum to 1.
    """

    def forward(self, batch: Tensor) -> Tensor:
        images = batch.to(self.input_dtype, memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        return torch.softmax(logits.float() / self.temperature, dim=1)


TASK = ClassificationProgram
