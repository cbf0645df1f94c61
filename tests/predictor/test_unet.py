from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from artifact import Architecture, CardError
from predictor.networks import build_network
from predictor.networks.folding import fold_batch_norm
from predictor.networks.unet import UNet
from tests.conftest import ROOT
from tests.predictor.test_networks import with_live_norms

PRESETS = sorted((ROOT / "training" / "segmentation" / "presets").glob("*.yaml"))
SMALL: dict[str, Any] = {
    "channels": 3,
    "classes": 4,
    "patch": 2,
    "widths": [8, 12, 16],
    "encoders": [0, 1, 1],
    "decoders": [0, 1],
}


def small(**changes: Any) -> nn.Module:
    return build_network(Architecture("u-net", {**SMALL, **changes}))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_presets_are_within_the_limits(preset: Path) -> None:
    document = yaml.safe_load(preset.read_text(encoding="utf-8"))
    network = build_network(Architecture(document["architecture"], document["arguments"]))
    assert 1_000_000 < sum(p.numel() for p in network.parameters()) <= 8_000_000
    in_half_precision = sum(t.numel() for t in network.state_dict().values()) * 2
    assert in_half_precision <= 16_000_000


@pytest.mark.parametrize("size", [(8, 8), (64, 8), (24, 40)])
@pytest.mark.parametrize(("patch", "channels"), [(1, 1), (2, 3), (4, 6)])
def test_every_pixel_has_logits(size: tuple[int, int], patch: int, channels: int) -> None:
    network = small(patch=patch, channels=channels).eval()
    assert isinstance(network, UNet)
    assert network.multiple == 4 * patch
    height, width = (side // 8 * network.multiple for side in size)
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, height, width)).shape == (2, 4, height, width)


def test_a_size_that_is_no_multiple_fails() -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError):
        small().eval()(torch.zeros(1, 3, 20, 16))


def test_what_a_pixel_gives_does_not_depend_on_what_is_far_away() -> None:
    torch.manual_seed(1)
    network = with_live_norms(small())
    image = torch.randn(1, 3, 160, 160)
    changed = image.clone()
    changed[:, :, :, 128:] += 3
    with torch.inference_mode():
        one, other = network(image), network(changed)
    assert torch.equal(one[..., :48], other[..., :48])
    assert not torch.equal(one[..., 120:128], other[..., 120:128])


def test_a_shift_by_the_stride_shifts_the_answer() -> None:
    torch.manual_seed(2)
    network = with_live_norms(small())
    assert isinstance(network, UNet)
    image = torch.randn(1, 3, 160, 160)
    by = network.multiple
    with torch.inference_mode():
        one, other = network(image), network(image.roll(by, 3))
    inner = slice(64, 96)
    assert torch.allclose(one[..., inner], other[..., by:][..., inner], atol=1e-5)


def test_batch_norm_is_folded_everywhere_and_nothing_changes() -> None:
    torch.manual_seed(3)
    network = with_live_norms(small())
    image = torch.randn(2, 3, 32, 40)
    with torch.inference_mode():
        before = network(image)
        folded = fold_batch_norm(network)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
        assert torch.allclose(folded(image), before, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [8, 12]},
        {"encoders": [0, 1]},
        {"decoders": [0, 0, 0]},
        {"decoders": [-1, 0]},
        {"encoders": [0, -1, 0]},
        {"patch": 0},
        {"classes": 0},
        {"widths": [8, 0, 8]},
        {"widths": 8},
        {"widths": [], "encoders": [], "decoders": []},
        {"patch": "2"},
        {"depth": 3},
    ],
)
def test_arguments_that_do_not_fit_name_the_field(change: dict[str, Any]) -> None:
    with pytest.raises(CardError) as caught:
        small(**change)
    assert caught.value.field == "architecture.arguments"
