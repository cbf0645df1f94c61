"""Which random pictures say anything about a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from tests.training.importing.conftest import Flowers, Importer, flowers
from training.importing.checks import steady_rows

HERE = f"{__name__}:"


class SteepOnNoise(Flowers):
    """Where neighbouring pixels have nothing to do with each other, its last bits decide."""

    def forward(self, images: Tensor) -> Tensor:
        contrast = (images[:, :, 4:] - images[:, :, :-4]).abs().mean((1, 2, 3))
        noise = torch.relu(contrast - 0.6) * 1e9
        found = super().forward(images)
        return found + torch.sin(noise[:, None] * found) * 3


def test_an_instance_whose_answer_hangs_on_its_last_bit_is_told() -> None:
    def answer(rows: NDArray[Any]) -> tuple[NDArray[Any]]:
        last_bits = (rows.view(np.int32) & 1).astype(np.float32)
        return (np.where(rows > 1, last_bits, rows),)

    batch = np.array([[0.5], [1.5], [0.75]], np.float32)
    steady = steady_rows(answer, batch, answer(batch), 1e-4)
    assert steady.tolist() == [True, False, True]
    assert not steady_rows(answer, batch, answer(batch), 1e-9).any()


def test_a_network_that_amplifies_noise_is_compared_by_pictures(
    importer: Importer, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.pt"
    torch.save(flowers().state_dict(), weights)
    samples = []
    for turn in range(3):
        ramp = Image.linear_gradient("L").rotate(90 * turn).convert("RGB")
        samples.append(str(tmp_path / f"{turn}.png"))
        ramp.save(samples[-1])
    report = importer(weights, network=f"{HERE}SteepOnNoise", samples=tuple(samples))
    assert report["difference"] < 1e-5
    assert report["samples"] == 3
    assert "6 of 6 random pictures were left out" in "; ".join(report["notes"])
    golden = load_file(tmp_path / "out" / "golden.safetensors")
    assert len(golden["input"]) == len(golden["output"]) <= 3
