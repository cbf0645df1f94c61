"""The task ``classification``: one vector of class probabilities per instance."""

from __future__ import annotations

import torch
from torch import Tensor

from artifact import Contract, ManyLabelsContract
from predictor.networks import Network
from predictor.programs.program import Program


class ClassificationProgram(Program):
    """Calibrated class probabilities; with a second output, how familiar each instance is.

    Shapes: ``(n, channels, height, width)`` float32 to ``(n, classes)`` float32; rows sum to 1,
    but where a picture may have many labels: then each has a probability of its own. Where the
    contract names a second output, ``(n,)`` float32 from 0 to 1.
    """

    def __init__(self, contract: Contract, network: Network, temperature: float) -> None:
        super().__init__(contract, network, temperature)
        self._many = isinstance(contract, ManyLabelsContract)
        self._is_judged = len(contract.outputs) > 1

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        images = batch.to(self.input_dtype, memory_format=torch.channels_last)
        if not self._is_judged:
            return self._probabilities(self.network(images))
        logits, familiarity = self.network.with_familiarity(images)
        return self._probabilities(logits), torch.sigmoid(familiarity)

    def _probabilities(self, logits: Tensor) -> Tensor:
        scaled = logits.float() / self.temperature
        return torch.sigmoid(scaled) if self._many else torch.softmax(scaled, dim=1)


TASK = ClassificationProgram
