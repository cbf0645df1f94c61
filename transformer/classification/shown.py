"""What the network was shown, as a picture that people can look at."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput


def shown_pictures(batch: NDArray[np.float32], spec: ImageInput) -> list[str]:
    """A PNG in base64 for each of ``(n, channels, height, width)``: normalisation undone."""
    mean = np.asarray(spec.mean, np.float32)[:, np.newaxis, np.newaxis]
    std = np.asarray(spec.std, np.float32)[:, np.newaxis, np.newaxis]
    levels = np.clip(np.rint((batch * std + mean) * 255), 0, 255).astype(np.uint8)
    return [_png(planes) for planes in levels]


def _png(planes: NDArray[np.uint8]) -> str:
    pixels = planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()
