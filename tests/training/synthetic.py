"""Small random data and settings, for tests of training that take no real data."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conftest import ARCHITECTURE
from training.data import ImageData, LabelledImages
from training.settings import TrainingSettings

LABELS = tuple("0123456789")


def images(count: int, seed: int = 0) -> LabelledImages:
    """Noise on black, with a bright bar whose row tells the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    pixels = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 8:20] = 255
    return LabelledImages(pixels, labels)


def data(train: int = 68, test: int = 30) -> ImageData:
    return ImageData("MNIST", images(train), images(test, 1), LABELS, "sha256:" + "5" * 64)


def settings(**changes: Any) -> TrainingSettings:
    values: dict[str, Any] = {
        "architecture": ARCHITECTURE.name,
        "arguments": ARCHITECTURE.arguments,
        "epochs": 3,
        "batch_size": 16,
        "test_batch_size": 20,
        "validation": 20,
        "shift": 0.1,
        "precision": "fp32",
    }
    return TrainingSettings(**{**values, **changes})
