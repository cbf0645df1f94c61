"""What is sent: MNIST's test pictures as PNG, and as a worse camera would take them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from training.data import load_data

BRIGHTNESS, BLUR = 0.8, 1.0


def digits(folder: Path) -> list[bytes]:
    """
    Raises:
        ValueError: MNIST is not in the folder.
    """
    images = load_data("MNIST", folder).test.images
    return [_png(Image.fromarray(np.asarray(image).squeeze())) for image in images]


def changed(png: bytes) -> bytes:
    """A fifth darker, and out of focus."""
    image = Image.open(io.BytesIO(png))
    return _png(
        ImageEnhance.Brightness(image).enhance(BRIGHTNESS).filter(ImageFilter.GaussianBlur(BLUR))
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
