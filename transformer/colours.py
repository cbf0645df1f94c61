"""From any of Pillow's modes to the 8-bit grey or colours that networks take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAREST = Image.Resampling.NEAREST


LARGE = 1 << 22
"""Pixels above which a picture is converted strip by strip, so that it is held twice at most."""

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
DEEP = (*SIXTEEN_BIT, "I", "F")
SAMPLE_SIDE = 256


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in the mode ``L`` or ``RGB``: levels scaled to 8 bits, transparency composited."""
    if image.mode == mode and not _has_alpha(image):
        return image
    full = _full_level(image) if image.mode in DEEP else None
    pixels = image.width * image.height
    ground = None
    if _has_alpha(image):
        large = pixels > LARGE
        ground = _ground(image.resize((SAMPLE_SIDE, SAMPLE_SIDE), NEAREST) if large else image)
    if pixels <= LARGE:
        return _converted(image, mode, full, ground)
    canvas = Image.new(mode, image.size)
    for strip, top in _strips(image):
        canvas.paste(_converted(strip, mode, full, ground), (0, top))
    return canvas


def _strips(image: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    """Parts of all the picture's width, and where they begin."""
    rows = max(1, LARGE // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))), top


def _converted(
    image: Image.Image, mode: str, full: float | None, ground: int | None
) -> Image.Image:
    """A picture, or a strip of one, whose full level and ground are known."""
    if full is not None:
        levels = _finite(image) * np.float32(255.0 / full) + np.float32(0.5)
        image = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    if ground is not None:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, (ground, ground, ground, 255))
        image = Image.alpha_composite(behind, image).convert("RGB")
    if image.mode not in ("1", "L", "RGB", "CMYK", "YCbCr"):
        image = image.convert("RGB")  # what every mode converts to; not every one does to L
    return image if image.mode == mode else image.convert(mode)


def averaged(image: Image.Image, factor: int) -> Image.Image:
    """A picture of any mode with ``factor`` × ``factor`` pixels made one; itself below 2.

    Its mode may become another, of which ``in_mode`` makes the same.
    """
    if factor < 2:
        return image
    if image.mode.startswith("I;16"):
        # Pillow cannot average this mode; every n-th pixel of a 16-bit scan does as well.
        size = (image.width // factor, image.height // factor)
        return image.resize(size, Image.Resampling.NEAREST)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.reduce(factor)


def _finite(image: Image.Image) -> NDArray[np.float32]:
    values = np.asarray(image).astype(np.float32)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _full_level(image: Image.Image) -> float:
    """The level of full intensity of a picture of 16-bit, 32-bit or float levels."""
    if image.mode in SIXTEEN_BIT:
        return 65535.0
    top = max(float(_finite(strip).max(initial=0.0)) for strip, _ in _strips(image))
    # A float picture is in units of full intensity unless it says otherwise by exceeding 1.
    usual = (1.0, 255.0) if image.mode == "F" else (255.0, 65535.0)
    return next((full for full in usual if top <= full), top)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _ground(image: Image.Image) -> int:
    """Black or white, whichever the visible part of a transparent picture stands out from."""
    image = image.convert("RGBA")
    small = image.reduce(max(1, min(image.size) // 64))
    alpha = np.asarray(small.getchannel("A"), np.float32)
    light = np.asarray(small.convert("RGB").convert("L"), np.float32)
    visible = float(alpha.sum())
    return 0 if visible == 0 or float((light * alpha).sum()) / visible > 127 else 255
