"""What all programs have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artifact import Contract
from predictor.networks import Network


class Program(nn.Module):
    """The contract's tensor in, its outputs out.

    Args:
        network: in evaluation mode.
        temperature: the logits are divided by it before the softmax.

    Attributes:
        input_dtype: of what the network is given.
    """

    def __init__(self, contract: Contract, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.input_dtype = torch.float32
        self.eval()

    def reduce_precision(self, dtype: torch.dtype) -> None:
        """Have the network compute in ``dtype``; softmax and temperature stay in float32."""
        self.input_dtype = self.network.reduce_precision(dtype)

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        raise NotImplementedError
