from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.predictor.test_networks import with_live_norms
from tests.predictor.test_unet import small
from training.segmentation.fit import disagreement, draw_part, inner, take_over


@pytest.mark.parametrize(
    "changes", [{}, {"encoders": [1, 1, 3]}, {"encoders": [0, 2, 1], "decoders": [1, 2]}]
)
def test_a_deeper_network_begins_with_the_answers_of_the_shallower(changes: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shallow = with_live_norms(small())
    deep = small(**changes)
    take_over(deep, shallow.state_dict())
    image = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        assert torch.equal(deep.eval()(image), shallow.eval()(image))


def test_blocks_that_begin_as_identities_learn() -> None:
    deep = small(encoders=[0, 2, 1])
    take_over(deep, small().state_dict())
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
        take_over(small(**changes), small().state_dict())


def test_parts_of_a_crop_meet_the_network_in_phase() -> None:
    torch.manual_seed(2)
    parts = [draw_part(256, 32) for _ in range(50)]
    for part in parts:
        for side in part:
            assert side.stop - side.start == 160
            assert side.start % 32 == 0
            assert 0 <= side.start < side.stop <= 256
    assert len({(part.rows.start, part.columns.start) for part in parts}) == 16


def test_disagreement_is_of_the_inner_pixels_alone() -> None:
    logits = torch.randn(2, 6, 16, 16)
    others = logits.clone()
    others[:, 0, :4] += 3
    assert disagreement(inner(logits, 4), inner(others, 4)).item() == 0
    assert disagreement(inner(logits, 3), inner(others, 3)).item() > 0.01


def test_networks_learn_to_agree_with_themselves() -> None:
    torch.manual_seed(3)
    learner = with_live_norms(small())
    nn.init.normal_(learner.get_parameter("head.weight"), std=2)
    optimiser = torch.optim.AdamW(learner.parameters(), 0.003)
    images = torch.randn(4, 3, 64, 64)
    part = draw_part(64, 8)
    seen = []
    for _ in range(12):
        whole, alone = learner(images), learner(images[:, :, part.rows, part.columns])
        loss = disagreement(inner(whole[:, :, part.rows, part.columns], 4), inner(alone, 4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < seen[0] / 2
