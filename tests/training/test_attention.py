from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from training.attention import with_four_axes
from training.onnx_program import export_onnx

BATCH = {0: torch.export.Dim("batch")}
attention = nn.functional.scaled_dot_product_attention


class Windows(nn.Module):
    """Attention in windows: batch, heads, windows, tokens, features."""

    def __init__(self, mask: Tensor | None = None, **named: Any) -> None:
        super().__init__()
        self.mask = mask
        self.named = named

    def forward(self, image: Tensor) -> Tensor:
        query = image.reshape(image.shape[0], 2, 3, 16, 8)
        return attention(query, 2 * query, query + 1, self.mask, **self.named).flatten(1)


class Plain(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return attention(image, image, image).flatten(1)


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))


def answers(program: Any, batch: Tensor) -> Any:
    (found,) = onnxruntime.InferenceSession(program.SerializeToString()).run(
        None, {"image": batch.numpy()}
    )
    return found


@pytest.mark.parametrize("is_program", [False, True])
@pytest.mark.parametrize(
    "network",
    [
        Windows(),
        Windows(scale=0.3),
        Windows(is_causal=True),
        Windows(torch.randn(16, 16)),
        Windows(torch.randn(3, 16, 16)),
        Windows(torch.rand(2, 3, 16, 16) > 0.2),
    ],
    ids=["plain", "scaled", "causal", "one mask", "a mask a window", "booleans"],
)
def test_attention_in_windows_is_exported(network: Windows, is_program: bool) -> None:
    given: Any = network.eval()
    batch = pictures(2)
    if is_program:
        given = torch.export.export(given, (batch,), dynamic_shapes=(BATCH,))
        program = export_onnx(given, "image", ["output"])
    else:
        program = export_onnx(given, "image", ["output"], batch, BATCH)
    others = pictures(5)
    np.testing.assert_allclose(answers(program, others), network(others).numpy(), atol=1e-5)


def test_other_attention_stays_as_it_is() -> None:
    program = torch.export.export(Plain().eval(), (pictures(2),), dynamic_shapes=(BATCH,))
    assert with_four_axes(program) is program
