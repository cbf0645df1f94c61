"""From any of Pillow's modes to the 8-bit grey or colours that networks take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from transformer.depth import eight_bits

NEAREST = Image.Resampling.NEAREST


LARGE = 1 << 22
"""Pixels above which a picture is converted strip by strip, so that it is held twice at most."""

SAMPLE_SIDE = 256


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in the mode ``L`` or ``RGB``: levels scaled to 8 bits, transparency composited."""
    if image.mode == mode and not _has_alpha(image):
        return image
    image = eight_bits(image)
    pixels = image.width * image.height
    ground = None
    if _has_alpha(image):
        large = pixels > LARGE
        ground = _ground(image.resize((SAMPLE_SIDE, SAMPLE_SIDE), NEAREST) if large else image)
    if pixels <= LARGE:
        return _converted(image, mode, ground)
    canvas = Image.new(mode, image.size)
    for strip, top in _strips(image):
        canvas.paste(_converted(strip, mode, ground), (0, top))
    return canvas


def _strips(image: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    """Parts of all the picture's width, and where they begin."""
    rows = max(1, LARGE // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))), top


def _converted(image: Image.Image, mode: str, ground: int | None) -> Image.Image:
    """A picture, or a strip of one, whose ground is known."""
    if ground is not None:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, (ground, ground, ground, 255))
        image = Image.alpha_composite(behind, image).convert("RGB")
    if image.mode not in ("1", "L", "RGB", "CMYK", "YCbCr"):
        image = image.convert("RGB")  # what every mode converts to; not every one does to L
    return image if image.mode == mode else image.convert(mode)


def averaged(image: Image.Image, factor: int | tuple[int, int]) -> Image.Image:
    """A picture of any mode with ``factor`` × ``factor`` pixels made one; itself below 2.

    Args:
        factor: one for both sides, or that of the width and that of the height.

    Its mode may become another, of which ``in_mode`` makes the same.
    """
    if factor in (0, 1):
        return image
    image = eight_bits(image)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.reduce(factor)


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
