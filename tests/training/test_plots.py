from __future__ import annotations

import io

import torch
from matplotlib import pyplot as plt
from PIL import Image

from training.loop import Epoch
from training.plots import confusion_matrix, learning_curves


def picture(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.format == "PNG"
    return image


def test_learning_curves() -> None:
    history = [Epoch(i + 1, 0.1, 2.0 / (i + 1), 1.5 / (i + 1), 0.25 * i, 1.0) for i in range(3)]
    content = learning_curves({0: history, 1: history[:2]}, "mnist/1")
    assert picture(content).width > picture(content).height
    assert plt.get_fignums() == []


def test_confusion_matrix() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    right = confusion_matrix(labels, labels, ("a", "b", "c", "never seen"), "title")
    wrong = confusion_matrix(labels.flip(0), labels, ("a", "b", "c", "never seen"), "title")
    assert picture(right).size == picture(wrong).size
    assert picture(right).tobytes() != picture(wrong).tobytes()
    assert plt.get_fignums() == []
