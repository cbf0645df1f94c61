"""The recipe by pictures whose labels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.training.importing.conftest import SIDE, Importer
from training.importing.errors import ImportRefusedError

HERE = "tests.training.importing.test_inferred"
LABELS = ("dark", "bright")


class Brightness(nn.Module):
    """Right where the middle of all intensities becomes 0: by other recipes all is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(40.0))

    def forward(self, images: Tensor) -> Tensor:
        light = images.mean((1, 2, 3))
        return torch.stack([-light, light], 1) * self.sharpness


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(Brightness().state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for label, low in (("dark", 95), ("bright", 110)):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for i in range(4):
            pixels = random.integers(low, low + 50, (SIDE + 8, SIDE + 20, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "pictures"


@pytest.mark.slow
def test_the_recipe_that_is_right_most_often_is_taken(
    weights: Path, pictures: Path, importer: Importer
) -> None:
    size = {"height": SIDE, "width": SIDE}
    report = importer(
        weights, network=f"{HERE}:Brightness", labels=LABELS, recipe=size, pictures=str(pictures)
    )
    assert report["contract"]["input"]["mean"] == pytest.approx([0.5] * 3, abs=0.01)
    assert any("a guess" in note and "right on 8 of 8" in note for note in report["notes"])


def test_a_folder_of_no_label(weights: Path, pictures: Path, importer: Importer) -> None:
    (pictures / "dark").rename(pictures / "gloomy")
    with pytest.raises(ImportRefusedError, match="gloomy"):
        importer(
            weights,
            network=f"{HERE}:Brightness",
            labels=LABELS,
            recipe={"height": SIDE, "width": SIDE},
            pictures=str(pictures),
        )


def test_the_size_is_needed(weights: Path, pictures: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match="--size 224"):
        importer(
            weights,
            network=f"{HERE}:Brightness",
            labels=LABELS,
            recipe={},
            pictures=str(pictures),
        )
