"""From any of Pillow's modes to the 8-bit grey or colours that networks take."""

from __future__ import annotations

import numpy as np
from PIL import Image


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in the mode ``L`` or ``RGB``: levels scaled to 8 bits, transparency composited."""
    image = _to_eight_bit(image)
    if _has_alpha(image):
        image = _flatten(image.convert("RGBA"))
    if image.mode not in ("1", "L", "RGB", "CMYK", "YCbCr"):
        image = image.convert("RGB")  # what every mode converts to; not every one does to L
    return image if image.mode == mode else image.convert(mode)


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float intensities to 0..255; Pillow would clip them."""
    if image.mode not in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        return image
    values = np.asarray(image).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    # A float picture is in units of full intensity unless it says otherwise by exceeding 1.
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else top
    elif image.mode == "I":
        full = 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    else:
        full = 65535.0
    return Image.fromarray(np.clip(values * (255.0 / full) + 0.5, 0, 255).astype(np.uint8))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _flatten(image: Image.Image) -> Image.Image:
    """Composite over black or white, whichever the visible part stands out from."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    small = image.reduce(max(1, min(image.size) // 64))
    alpha = np.asarray(small.getchannel("A"), np.float32)
    light = np.asarray(small.convert("RGB").convert("L"), np.float32)
    visible = float(alpha.sum())
    level = 0 if visible == 0 or float((light * alpha).sum()) / visible > 127 else 255
    ground = Image.new("RGBA", image.size, (level, level, level, 255))
    return Image.alpha_composite(ground, image).convert("RGB")
