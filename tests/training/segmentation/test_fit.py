from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from artifact import Architecture
from predictor.networks import build_network
from tests.predictor.test_networks import with_live_norms
from training.segmentation.fit import take_over

SHALLOW: dict[str, Any] = {
    "channels": 3,
    "classes": 6,
    "patch": 2,
    "widths": [8, 12, 16],
    "encoders": [0, 1, 1],
    "decoders": [0, 1],
}


def network(**changes: Any) -> nn.Module:
    return build_network(Architecture("u-net", {**SHALLOW, **changes}))


@pytest.mark.parametrize(
    "changes", [{}, {"encoders": [1, 1, 3]}, {"encoders": [0, 2, 1], "decoders": [1, 2]}]
)
def test_a_deeper_network_begins_with_the_answers_of_the_shallower(changes: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shallow = with_live_norms(network())
    deep = network(**changes)
    take_over(deep, shallow.state_dict())
    image = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        assert torch.equal(deep.eval()(image), shallow.eval()(image))


def test_blocks_that_begin_as_identities_learn() -> None:
    deep = network(encoders=[0, 2, 1])
    take_over(deep, network().state_dict())
    deep(torch.randn(2, 3, 32, 32)).square().sum().backward()
    gradient = deep.get_parameter("encoders.1.blocks.1.project.1.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    "changes", [{"widths": [8, 12, 16, 20], "encoders": [0, 1, 1, 0], "decoders": [0, 1, 0]},
                {"encoders": [0, 1, 0]}]
)  # fmt: skip
def test_another_network_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="start: another network"):
        take_over(network(**changes), network().state_dict())
