"""Small networks, and an import of them in this process: the sandbox has tests of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor, nn

from training.importing.request import Request
from training.importing.worker import import_network

SIDE = 32
RECIPE = {
    "mode": "RGB",
    "height": SIDE,
    "width": SIDE,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "frame": {"kind": "resize", "resize": {"short_side": 36}, "crop": [SIDE, SIDE]},
}
LABELS = ("daisy", "rose", "tulip", "poppy", "iris")


class Flowers(nn.Module):
    """A small network with what most have: convolution, batch norm, dropout."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, classes))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.head(self.features(images))
        return found


def flowers(classes: int = 5) -> Flowers:
    """With weights and running figures that are not those of a new one."""
    torch.manual_seed(3)
    network = Flowers(classes)
    with torch.no_grad():
        network.train()(torch.randn(16, 3, SIDE, SIDE) * 2 + 1)
        network.head[2].weight.mul_(8)
    return network.eval()


class Importer(Protocol):
    def __call__(self, source: str | Path, **changes: Any) -> dict[str, Any]: ...


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    """Imports a source with the recipe above; files are in ``tmp_path / "out"``."""
    out = tmp_path / "out"
    out.mkdir()

    def imported(source: str | Path, **changes: Any) -> dict[str, Any]:
        given = {"labels": LABELS, "recipe": RECIPE, **changes}
        return import_network(out, asdict(Request("flowers", str(source), **given)))

    return imported
