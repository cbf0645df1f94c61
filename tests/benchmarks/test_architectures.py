from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.architectures.choice import (
    Architecture,
    timm_architectures,
    torchvision_architectures,
)
from benchmarks.architectures.comparison import EQUAL, REFUSED, Comparison
from benchmarks.architectures.originals import Original, open_layers, sharpen, take_statistics
from benchmarks.architectures.table import write_table
from benchmarks.photographs.files import photographs
from training.torchvision_ops import v2


class Small(nn.Module):
    """Two layers and batch norm, as drawn: answers that hardly depend on the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        )
        self.head = nn.Linear(32, 50)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.body(batch).flatten(1))
        return found


def test_all_of_torchvision_and_forty_families_of_timm_take_part() -> None:
    chosen = torchvision_architectures()
    assert len([a for a in chosen if a.task == "classification"]) >= 80
    assert len([a for a in chosen if a.task == "segmentation"]) == 6
    drawn = timm_architectures(0)
    assert len(drawn) == 40
    assert drawn == timm_architectures(0)
    assert drawn != timm_architectures(1)


def test_a_served_model_may_have_the_name() -> None:
    architecture = Architecture("timm", "vit_tiny.Patch16", "classification")
    assert architecture.model == "timm-vit-tiny-patch16"


def test_eight_photographs_come_with_the_packages() -> None:
    found = photographs()
    assert len(found) == 8
    for path in found:
        with Image.open(path) as image:
            assert image.mode == "RGB"


def test_answers_depend_on_the_picture() -> None:
    torch.manual_seed(0)
    size = v2.Compose(
        [v2.Resize((64, 64)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    )
    original = Original(Small().eval(), size, "")
    pictures = photographs()
    drawn = original.probabilities(pictures)
    assert drawn.max() < 0.1
    batch = original.batch(pictures)
    take_statistics(original, batch)
    sharpen(original, batch)
    found = original.probabilities(pictures)
    assert found.max(1).mean() > 0.2
    assert len(set(found.argmax(1).tolist())) > 3


def test_layers_that_begin_as_good_as_closed_are_opened() -> None:
    network = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4), nn.Linear(4, 4), nn.BatchNorm2d(4))
    drawn = network[2].weight.clone()
    with torch.no_grad():
        network[0].weight.fill_(1e-6)
        network[3].weight.fill_(0)
    open_layers(network)
    assert network[3].weight.tolist() == [1, 1, 1, 1]
    assert network[3].bias.tolist() == [0, 0, 0, 0]
    assert network[0].weight.tolist() == [1, 1, 1, 1]
    assert network[0].bias.tolist() == [0, 0, 0, 0]
    assert torch.equal(network[2].weight, drawn)


def test_the_page_counts_and_gives_reasons() -> None:
    chosen = [Architecture("torchvision", name, "classification") for name in "abc"]
    known = {
        "torchvision:a": Comparison(
            "torchvision:a", "classification", 0, EQUAL, 1_500_000, 2e-6, 0.5, 7, 12.0
        ),
        "torchvision:b": Comparison(
            "torchvision:b", "classification", 0, REFUSED, 9_000_000, reason="it is a | detector"
        ),
    }
    page = write_table(chosen, known, 0)
    assert "**1 of 2 equal within 1e-4 (50.0%)**, 1 refused with a reason, 0 different" in page
    assert "| torchvision:a | 1.5 | 2.0e-06 | 0.50 | 7 | 12 |  |" in page
    assert "**refused** it is a / detector" in page
    assert "Not run: torchvision:c." in page


@pytest.mark.parametrize("path", photographs(), ids=lambda path: path.name)
def test_photographs_are_sent_as_jpegs(path: Path) -> None:
    from benchmarks.photographs.networks import as_jpeg

    assert as_jpeg(path).startswith(b"\xff\xd8\xff")
