"""The images that are sent: real test images as PNGs, or drawn digits where those are missing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.data import LabelledImages, load_data

SIDE = 28


@dataclass(frozen=True)
class Pictures:
    """Grey 28×28 images of digits to train the benchmark's own network on, and to send.

    Attributes:
        source: where they come from, for the report.
    """

    train: LabelledImages
    test: LabelledImages
    source: str


def load_pictures(folder: Path, train: int, test: int) -> Pictures:
    """The first images of MNIST's training and test sets, or as many drawn ones.

    Args:
        folder: holds ``MNIST/raw``; torchvision downloads it there if it can.
    """
    try:
        data = load_data("MNIST", folder)
    except ValueError:
        return Pictures(
            drawn_digits(train, seed=1), drawn_digits(test, seed=2), "digits drawn with a font"
        )
    return Pictures(
        data.train.subset(np.arange(train)),
        data.test.subset(np.arange(test)),
        "the test images of MNIST",
    )


def drawn_digits(count: int, seed: int) -> LabelledImages:
    """White digits on black, shifted, turned and scaled at random; no two alike."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for index, label in enumerate(labels):
        large = Image.new("L", (2 * SIDE, 2 * SIDE))
        draw = ImageDraw.Draw(large)
        font = ImageFont.load_default(float(random.uniform(32, 44)))
        middle = SIDE + random.uniform(-4, 4, 2)
        draw.text((middle[0], middle[1]), str(label), 255, font, anchor="mm")
        turned = large.rotate(float(random.uniform(-20, 20)), Image.Resampling.BILINEAR)
        images[index] = np.asarray(turned.resize((SIDE, SIDE), Image.Resampling.BOX))
    return LabelledImages(images, labels.astype(np.int64))


def encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def enlarged(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], side: int) -> Image.Image:
    """One test image at ``side`` × ``side`` pixels."""
    image = Image.fromarray(pixels)
    return image if side == SIDE else image.resize((side, side), Image.Resampling.BICUBIC)
