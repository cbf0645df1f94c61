"""Pictures that lie beside a segmentation revision."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.loop import Epoch
from training.segmentation.data import COLOURS, LABELS, VOID, AnnotatedImage

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.patches import Patch

MAP_SIDE = 420


def iou_curves(runs: dict[int, list[Epoch]], title: str) -> bytes:
    """Loss and mean IoU on the validation split over epochs, one line a seed; a PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for index, (seed, history) in enumerate(sorted(runs.items())):
        epochs = [row.epoch for row in history]
        left.plot(epochs, [row.validation_loss for row in history], color=f"C{index}")
        right.plot(
            epochs,
            [100 * (row.validation_iou or 0.0) for row in history],
            color=f"C{index}",
            label=f"seed {seed}",
        )
    left.set(xlabel="epoch", ylabel="nats a pixel", title="validation cross-entropy")
    right.set(xlabel="epoch", ylabel="%", title="validation mean IoU")
    right.legend()
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def example_maps(examples: list[tuple[AnnotatedImage, NDArray[np.uint8]]], title: str) -> bytes:
    """A row an image: the image, its annotation, the answer; a PNG."""
    palette = np.array(COLOURS, np.uint8)
    figure, axes = plt.subplots(
        len(examples), 3, figsize=(10, 3.3 * len(examples)), layout="constrained", squeeze=False
    )
    for row, (item, mask) in zip(axes, examples, strict=True):
        answer = np.where(item.mask == VOID, np.uint8(VOID), mask)
        for axis, pixels in zip(
            row, (item.image, palette[item.mask], palette[answer]), strict=True
        ):
            picture = Image.fromarray(pixels)
            picture.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.NEAREST)
            axis.imshow(picture)
            axis.set_axis_off()
        row[0].set_title(item.name, fontsize=9)
        row[1].set_title("annotation", fontsize=9)
        row[2].set_title("answer", fontsize=9)
    patches = [
        Patch(color=(red / 255, green / 255, blue / 255), label=label)
        for label, (red, green, blue) in zip(LABELS, COLOURS, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8)
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
