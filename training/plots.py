"""Pictures that lie beside a revision."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from torch import Tensor

from training.loop import Epoch

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure


def learning_curves(runs: dict[int, list[Epoch]], title: str) -> bytes:
    """Loss and validation accuracy over epochs, one line a seed; a PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for index, (seed, history) in enumerate(sorted(runs.items())):
        epochs = [row.epoch for row in history]
        colour = f"C{index}"
        left.plot(epochs, [row.train_loss for row in history], ":", color=colour)
        left.plot(epochs, [row.validation_loss for row in history], color=colour)
        right.plot(
            epochs,
            [100 * row.validation_accuracy for row in history],
            color=colour,
            label=f"seed {seed}",
        )
    left.set(xlabel="epoch", ylabel="loss", title="loss (dotted: training, augmented)")
    losses = [
        loss for h in runs.values() for row in h for loss in (row.train_loss, row.validation_loss)
    ]
    # What is learnt to the last bit has a loss of nought.
    left.set_yscale("log" if min(losses) > 0 else "linear")
    right.set(xlabel="epoch", ylabel="%", title="validation accuracy")
    right.legend()
    figure.suptitle(title)
    return _png(figure)


def confusion_matrix(
    predicted: Tensor, labels: Tensor, names: tuple[str, ...], title: str
) -> bytes:
    """Counts of the test set, true class by row; a PNG."""
    size = len(names)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (labels.numpy(), predicted.numpy()), 1)
    figure, axes = plt.subplots(figsize=(7, 6.4), layout="constrained")
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(size):
        for column in range(size):
            if counts[row, column]:
                dark = shares[row, column] > 0.5
                axes.text(
                    column,
                    row,
                    str(counts[row, column]),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
    axes.set_xticks(range(size), names, rotation=45, ha="right")
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
