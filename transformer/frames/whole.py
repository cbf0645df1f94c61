"""All of a picture, its aspect kept, on the contract's background."""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image

from artifact import ImageInput
from transformer.colours import averaged

LEVELS = {"black": 0, "white": 255}

MARGIN = 4
"""Times the contract's size that a large picture keeps until it is resampled for good."""

MIN_CONTRAST = 16
"""Intensities between subject and surroundings below which a picture is taken to be empty."""


class WholeFraming:
    """Cheap for pictures of any size; grey paper and faint ink are stretched to the full range."""

    def __init__(self, spec: ImageInput) -> None:
        self._spec = spec
        self.enough: tuple[int, int] | None = (MARGIN * spec.width, MARGIN * spec.height)

    def shrink(self, image: Image.Image) -> Image.Image:
        """Average blocks of a large picture down to about four times the size that is needed.

        Everything after it then costs what the contract's size costs, not the picture's.
        """
        return averaged(image, reduction(image.size, self._spec))

    def bring(self, image: Image.Image) -> Image.Image:
        spec = self._spec
        if image.size == (spec.width, spec.height):
            return image
        return _fit(_stretch(image) if spec.has_polarity else image, spec)


def reduction(size: tuple[int, int], spec: ImageInput) -> int:
    """Pixels a side that become one in a picture of that width and height before it is fitted."""
    return max(1, min(size[0] // (MARGIN * spec.width), size[1] // (MARGIN * spec.height)))


def fitted(size: tuple[int, int], spec: ImageInput) -> tuple[int, int]:
    """Width and height inside the contract's of a picture of that width and height."""
    scale = min(spec.width / size[0], spec.height / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _stretch(image: Image.Image) -> Image.Image:
    """Bring the surroundings (the frame's median) and the far end of the range to 0 and 255.

    Else padding would show as an edge around a picture whose paper is not quite white.
    """
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    frame = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]])
    ground = float(np.median(frame))
    dark_ground = ground <= (float(small.min()) + float(small.max())) / 2
    low_end, high_end = cast("tuple[int, int]", image.getextrema())
    far = float(high_end if dark_ground else low_end)
    if abs(far - ground) < MIN_CONTRAST:
        return image
    low, high = (ground, far) if dark_ground else (far, ground)
    scale = 255.0 / (high - low)
    return image.point([min(255, max(0, round((v - low) * scale))) for v in range(256)])


def _fit(image: Image.Image, spec: ImageInput) -> Image.Image:
    size = fitted(image.size, spec)
    if size != image.size:
        # A box first, at twice the size, is several times faster on photographs and changes
        # nothing that a 28-pixel tensor can show.
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if size == (spec.width, spec.height):
        return image
    assert spec.background is not None
    ground = LEVELS[spec.background]
    canvas = Image.new(spec.mode, (spec.width, spec.height), (ground,) * len(image.getbands()))
    canvas.paste(image, ((spec.width - size[0]) // 2, (spec.height - size[1]) // 2))
    return canvas
