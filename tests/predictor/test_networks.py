from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from artifact import Architecture, CardError
from predictor.networks import build_network
from predictor.networks.folding import fold_batch_norm
from predictor.networks.residual_cnn import ResidualCNN
from predictor.networks.two_convolutions import TwoConvolutions
from tests.conftest import ARCHITECTURE, ROOT

PRESETS = sorted((ROOT / "training" / "presets").glob("*.yaml"))


def preset(name: str) -> Architecture:
    document = yaml.safe_load((ROOT / "training" / "presets" / f"{name}.yaml").read_text())
    return Architecture(document["architecture"], document["arguments"])


def multiply_adds(network: nn.Module, image: Tensor) -> int:
    """Of all convolutions and linear layers, for one image."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            each = module.in_channels // module.groups * math.prod(module.kernel_size)
            total += output.numel() * each
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.inference_mode():
        network.eval()(image)
    for hook in hooks:
        hook.remove()
    return total


def test_the_counter_counts() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 16, 5))
    assert multiply_adds(network, torch.zeros(1, 2, 4, 4)) == 3 * 16 * 2 * 9 + 3 * 16 * 5


def test_the_mnist_network_is_cheap() -> None:
    network = build_network(preset("mnist"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert 100_000 < parameters <= 500_000
    assert 2_000_000 < multiply_adds(network, torch.zeros(1, 1, 28, 28)) <= 8_500_000


def with_live_norms(network: nn.Module) -> nn.Module:
    """Batch norms as after training: with running statistics that are not 0 and 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return network.eval()


def test_a_row_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(3)
    network = with_live_norms(build_network(preset("mnist")))
    batch = torch.randn(9, 1, 28, 28)
    with torch.inference_mode():
        together = network(batch)
        for row in range(len(batch)):
            alone = network(batch[row : row + 1])
            assert torch.allclose(together[row], alone[0], rtol=0, atol=1e-5)
        turned = network(batch.flip(0)).flip(0)
    assert torch.allclose(together, turned, rtol=0, atol=1e-5)
    assert together.std(dim=0).max() > 1e-3


def evaluated(folded: bool = True) -> ResidualCNN:
    """A network with norms that do something."""
    torch.manual_seed(5)
    network = with_live_norms(build_network(ARCHITECTURE))
    assert isinstance(network, ResidualCNN)
    if folded:
        fold_batch_norm(network)
    return network


def pictures(count: int) -> torch.Tensor:
    found = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(7))
    return found.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [1, 16])
def test_in_bfloat16_stem_and_head_stay_exact(count: int) -> None:
    network, images = evaluated(), pictures(count)
    with torch.inference_mode():
        exact = network(images)
        assert network.reduce_precision(torch.bfloat16) is torch.float32
        found = network(images)
        everything = evaluated().to(torch.bfloat16)(images.to(torch.bfloat16))
    for name, parameter in network.named_parameters():
        rounded = name.startswith("stages.")
        assert parameter.dtype is (torch.bfloat16 if rounded else torch.float32)
    assert found.dtype is torch.float32
    assert 0 < (found - exact).abs().max() < (everything - exact).abs().max()


def test_a_network_is_rounded_as_a_whole_where_it_says_nothing_else() -> None:
    network = TwoConvolutions()
    assert network.reduce_precision(torch.bfloat16) is torch.bfloat16
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}


def test_folding_leaves_the_function() -> None:
    images = pictures(5)
    with torch.inference_mode():
        found, expected = evaluated()(images), evaluated(folded=False)(images)
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    assert expected.std(dim=0).max() > 1e-3


@pytest.mark.parametrize("size", [(28, 28), (32, 20), (64, 64), (8, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_are_one_a_class_for_any_size(size: tuple[int, int], channels: int) -> None:
    arguments = {**ARCHITECTURE.arguments, "channels": channels, "classes": 7}
    network = build_network(Architecture("residual-cnn", arguments)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, *size)).shape == (2, 7)


def test_arguments_shape_the_network() -> None:
    network = build_network(ARCHITECTURE)
    assert isinstance(network, ResidualCNN)
    assert network.head.out_features == 10
    assert [len(list(stage.children())[1]) for stage in network.stages] == [1, 0]
    stem = network.stem[0]
    assert isinstance(stem, nn.Conv2d)
    assert (stem.kernel_size, stem.stride, stem.out_channels) == ((5, 5), (2, 2), 8)
    assert stem.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_arguments_are_left_alone() -> None:
    arguments = preset("mnist").arguments
    before = repr(arguments)
    build_network(Architecture("residual-cnn", arguments))
    assert repr(arguments) == before


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_names_a_network(path: Any) -> None:
    document = yaml.safe_load(path.read_text())
    if "architecture" in document:
        network = build_network(Architecture(document["architecture"], document["arguments"]))
        assert sum(p.numel() for p in network.parameters()) > 0


@pytest.mark.parametrize("name", ["resnet-50", "", "ResidualCNN", "__init__"])
def test_an_unknown_architecture_names_the_field(name: str) -> None:
    with pytest.raises(CardError) as caught:
        build_network(Architecture(name, ARCHITECTURE.arguments))
    assert caught.value.field == "architecture.name"
    assert "residual-cnn" in caught.value.reason


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 3},
        {"self": 1},
        {"channels": "1"},
        {"channels": None},
        {"classes": 10.5},
        {"stem": [8]},
        {"widths": 8},
        {"widths": []},
        {"widths": [8, "16"]},
        {"widths": [9, 16]},
        {"hidden": [8]},
        {"blocks": [1, 0, 0]},
        {"blocks": [1.5, 0]},
        {"stem_kernel": "5"},
    ],
)
def test_arguments_that_do_not_fit_name_the_field(change: dict[str, object]) -> None:
    with pytest.raises(CardError) as caught:
        build_network(Architecture("residual-cnn", {**ARCHITECTURE.arguments, **change}))
    assert caught.value.field == "architecture.arguments"
    assert caught.value.reason


@pytest.mark.parametrize("change", [{"stem": -8, "widths": [-8, 16]}, {"classes": -1}])
def test_negative_sizes_name_the_field(change: dict[str, object]) -> None:
    with pytest.raises(CardError) as caught:
        build_network(Architecture("residual-cnn", {**ARCHITECTURE.arguments, **change}))
    assert caught.value.field == "architecture.arguments"


@pytest.mark.parametrize("missing", ["channels", "classes", "stem", "widths", "hidden", "blocks"])
def test_missing_arguments_are_named(missing: str) -> None:
    arguments = {k: v for k, v in ARCHITECTURE.arguments.items() if k != missing}
    with pytest.raises(CardError) as caught:
        build_network(Architecture("residual-cnn", arguments))
    assert caught.value.field == "architecture.arguments"
    assert f"'{missing}'" in caught.value.reason
