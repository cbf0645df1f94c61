"""Which pictures say anything about a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from tests.training.importing.conftest import Flowers, Importer, flowers
from training.importing.checks import check_network
from training.importing.comparison import Compared, compare, movements
from training.importing.errors import ImportRefusedError

HERE = f"{__name__}:"


class SteepOnNoise(Flowers):
    """Where neighbouring pixels have nothing to do with each other, its last bits decide."""

    def forward(self, images: Tensor) -> Tensor:
        contrast = (images[:, :, 4:] - images[:, :, :-4]).abs().mean((1, 2, 3))
        noise = torch.relu(contrast - 0.6) * 1e9
        found = super().forward(images)
        return found + torch.sin(noise[:, None] * found) * 3


def by_last_bits(rows: NDArray[Any]) -> tuple[NDArray[Any]]:
    """Numbers above 1 are answered with their last bit."""
    last_bits = (rows.view(np.int32) & 1).astype(np.float32)
    return (np.where(rows > 1, last_bits, rows),)


BATCH = np.array([[0.5], [1.5], [0.75], [1.75]], np.float32)


def test_how_far_an_answer_moves_with_the_last_bit() -> None:
    moved = movements(by_last_bits, BATCH, by_last_bits(BATCH))
    assert moved[[1, 3]].tolist() == [1, 1]
    assert (moved[[0, 2]] < 1e-6).all() and (moved[[0, 2]] > 0).all()


def test_pictures_of_the_users_always_count() -> None:
    expected = by_last_bits(BATCH)
    found = (expected[0] + np.array([[0], [0.5], [0], [0.5]], np.float32),)
    compared = compare(BATCH, expected, found, by_last_bits, 1e-4, own=0)
    assert compared.batch.tolist() == compared.expected[0].tolist() == [[0.5], [0.75]]
    assert compared.difference == 0
    assert "2 of 4 random and shipped pictures were left out" in compared.notes[0]
    with pytest.raises(ImportRefusedError, match=r"by 0\.5 .* to 1 of your pictures by up to 1:"):
        compare(BATCH, expected, found, by_last_bits, 1e-4, own=1)


def test_rounding_in_the_layers_moves_further_than_that_of_the_input() -> None:
    def answer(rows: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (np.sin(rows * 20),)

    def beside(times: float) -> Compared:
        found = answer(BATCH)[0]
        found[1] += times * moved[1]
        return compare(BATCH, answer(BATCH), (found,), answer, 3e-5, own=0)

    moved = movements(answer, BATCH, answer(BATCH))
    assert moved.max() < 3e-5 < 9 * moved[1]
    assert len(beside(9).batch) == 3
    with pytest.raises(ImportRefusedError, match="answers otherwise"):
        beside(20)


def test_a_program_is_not_taken_where_nothing_can_be_compared() -> None:
    rows = BATCH[[1, 3]]
    expected = by_last_bits(rows)
    found = (expected[0] + np.float32(0.5),)
    with pytest.raises(ImportRefusedError, match=r"to every picture .* --samples FOLDER"):
        compare(rows, expected, found, by_last_bits, 1e-4, own=0)


def test_rounding_that_differs_by_the_batch_is_no_batch_normalisation() -> None:
    def amplifying(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"scores": np.sin(rows * 1e4 * (1 + 4e-7 * len(rows)))}

    def normalising(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"scores": rows - rows.mean()}

    with pytest.raises(ImportRefusedError, match="it amplifies rounding"):
        check_network(amplifying, BATCH, ("scores",))
    with pytest.raises(ImportRefusedError, match="batch normalisation"):
        check_network(normalising, BATCH, ("scores",))


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
    given = {"network": f"{HERE}SteepOnNoise", "samples": tuple(samples)}
    report = importer(weights, **given)
    assert report["difference"] < 1e-5
    assert report["samples"] == 3
    assert "6 of 6 random and shipped pictures were left out" in "; ".join(report["notes"])
    golden = load_file(tmp_path / "out" / "golden.safetensors")
    assert len(golden["input"]) == len(golden["output"]) <= 3
