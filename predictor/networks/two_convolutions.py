"""The network of pytorch/examples (`mnist/main.py`), which most serving benchmarks use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predictor.networks.network import Network


class TwoConvolutions(Network):
    """Two convolutions, one pooling, two linear layers; made for 28×28 pixels.

    Its dropout is left out: this is the network as it answers, not as it learns.

    Shapes: input ``(n, 1, 28, 28)`` float32, output ``(n, classes)`` logits.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = torch.flatten(nn.functional.max_pool2d(x, 2), 1)
        logits: Tensor = self.fc2(torch.relu(self.fc1(x)))
        return logits
