"""What the network was shown, as a picture that people can look at."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput
from transformer.tensors import to_pixels


def shown_pictures(planes: NDArray[np.uint8], spec: ImageInput) -> list[str]:
    """A PNG in base64 for each instance of a batch."""
    return [_png(pixels) for pixels in to_pixels(planes, spec)]


def _png(pixels: NDArray[np.uint8]) -> str:
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()
