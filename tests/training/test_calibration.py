from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.calibration import BINS, expected_calibration_error, fit_temperature


def answers(confidence: list[float], correct: list[bool]) -> tuple[Tensor, Tensor]:
    """Two-class probabilities that claim class 0, and labels that agree or not."""
    claimed = torch.tensor(confidence, dtype=torch.float64)
    labels = torch.tensor([0 if right else 1 for right in correct])
    return torch.stack([claimed, 1 - claimed], dim=1), labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(20_000, 10, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.04)


def test_the_temperature_calibrates() -> None:
    generator = torch.Generator().manual_seed(1)
    honest = 2 * torch.randn(5000, 10, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    logits = honest * 4
    before = expected_calibration_error(logits.softmax(1), labels)
    after = expected_calibration_error(
        (logits / fit_temperature(logits, labels)).softmax(1), labels
    )
    assert before > 0.1
    assert after < 0.03


@pytest.mark.parametrize(
    ("confidence", "correct", "error"),
    [
        ([0.75] * 4, [True, True, True, False], 0.0),
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.9] * 4, [True, True, False, False], 0.4),
        # Two bins: half of the answers 0.1 off, half 0.2 off, in opposite directions.
        ([0.9, 0.9, 0.6, 0.6], [True, True, True, False], (0.1 + 0.1) / 2),
        ([0.9, 0.9, 0.9, 0.7], [True, True, True, False], (3 * 0.1 + 0.7) / 4),
        # In one bin opposite gaps cancel out.
        ([0.94, 0.96], [True, False], abs(0.06 - 0.96) / 2),
    ],
)
def test_calibration_error_by_hand(
    confidence: list[float], correct: list[bool], error: float
) -> None:
    assert BINS == 15
    assert expected_calibration_error(*answers(confidence, correct)) == pytest.approx(error)


def test_bins_change_what_cancels() -> None:
    probabilities, labels = answers([0.55, 0.95], [True, False])
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.25)
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(0.7)
