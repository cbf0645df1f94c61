"""What a pixel's colour alone tells: the yardstick that a network has to beat."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from training.segmentation.data import LABELS, VOID, AnnotatedImage

SAMPLES = 200_000
STEPS = 600
BATCH = 8192


class ColourClassifier:
    """A small perceptron from red, green and blue to a class, of pixels drawn at random.

    Classes are weighted as the network's are, so that the two differ in what they see alone.
    """

    def __init__(
        self, images: tuple[AnnotatedImage, ...], weights: NDArray[np.float32], seed: int = 0
    ) -> None:
        random = np.random.default_rng(seed)
        colours, classes = [], []
        for item in images:
            count = SAMPLES // len(images)
            rows = random.integers(item.mask.shape[0], size=count)
            columns = random.integers(item.mask.shape[1], size=count)
            colours.append(item.image[rows, columns])
            classes.append(item.mask[rows, columns])
        inputs = torch.from_numpy(np.concatenate(colours)).float() / 255
        targets = torch.from_numpy(np.concatenate(classes)).long()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._network = nn.Sequential(
                nn.Linear(3, 64),
                nn.ReLU(),
                nn.Linear(64, 64),
                nn.ReLU(),
                nn.Linear(64, len(LABELS)),
            )
            optimiser = torch.optim.Adam(self._network.parameters(), lr=3e-3)
            for _ in range(STEPS):
                chosen = torch.randint(len(inputs), (BATCH,))
                loss = functional.cross_entropy(
                    self._network(inputs[chosen]),
                    targets[chosen],
                    torch.from_numpy(weights),
                    ignore_index=VOID,
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        self._table = self._tabulate()

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(h, w, 3)`` to ``(h, w)`` classes."""
        levels = image >> 2
        found: NDArray[np.uint8] = self._table[levels[..., 0], levels[..., 1], levels[..., 2]]
        return found

    def _tabulate(self) -> NDArray[np.uint8]:
        """The answer to every colour, in steps of 4 of 256."""
        steps = (torch.arange(64).float() * 4 + 2) / 255
        grid = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1)
        with torch.inference_mode():
            logits = self._network(grid.reshape(-1, 3))
            logits[:, VOID] = -torch.inf
        table: NDArray[np.uint8] = logits.argmax(1).to(torch.uint8).reshape(64, 64, 64).numpy()
        return table
