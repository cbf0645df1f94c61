"""The task ``classification``: one vector of class probabilities per instance."""

from __future__ import annotations

import torch
from torch import Tensor

from artifact import Contract, ManyLabelsContract
from predictor.networks import Network
from predictor.programs.program import Program


class ClassificationProgram(Program):
    """Calibrated class probabilities.

    Shapes: ``(n, channels, height, width)`` float32 to ``(n, classes)`` float32; rows sum to 1,
    but where a picture may have many labels: then each has a probability of its own.
    """

    def __init__(self, contract: Contract, network: Network, temperature: float) -> None:
        super().__init__(contract, network, temperature)
        self._many = isinstance(contract, ManyLabelsContract)

    def forward(self, batch: Tensor) -> Tensor:
        images = batch.to(self.input_dtype, memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        scaled = logits.float() / self.temperature
        return torch.sigmoid(scaled) if self._many else torch.softmax(scaled, dim=1)


TASK = ClassificationProgram
