"""Calibration: temperature scaling and its measure (Guo et al., 2017, arXiv:1706.04599)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BINS = 15


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the lowest negative log-likelihood, to 0.1 %.

    The likelihood is unimodal in the logarithm of the temperature, so a golden-section search
    between 0.05 and 20 finds it without a learning rate to choose.

    Args:
        logits: ``(n, classes)`` of the validation split.
        labels: ``(n,)``.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / torch.tensor(log_temperature, dtype=torch.float64).exp()
        return functional.cross_entropy(scaled, labels).item()

    ratio = (5**0.5 - 1) / 2
    low, high = -3.0, 3.0
    while high - low > 1e-3:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(torch.tensor((low + high) / 2).exp()), 4)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their size.

    Args:
        probabilities: ``(n, classes)``.
        labels: ``(n,)``.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    correct = (predicted == labels).double()
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, correct - confidence)
    return float(gap.abs().sum() / len(labels))
