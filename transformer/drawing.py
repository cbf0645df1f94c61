"""Boxes, points and their names in a picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

GOLDEN = 0.618034
"""Of a turn around the colour wheel, from one label to the next: neighbours differ most."""


def label_colour(index: int) -> Colour:
    """The colour of a label: the same wherever it is drawn."""
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


class Canvas:
    """Draws into a picture, with lines and letters of a size that fits it.

    Args:
        picture: in RGB; is drawn into.
    """

    def __init__(self, picture: Image.Image) -> None:
        side = max(picture.size)
        self._draw = ImageDraw.Draw(picture)
        self._line = max(1, round(side / 300))
        self._font = ImageFont.load_default(max(10, side / 45))

    def box(self, corners: Sequence[float], colour: Colour, name: str) -> None:
        """A frame around left, top, right and bottom, with its name at the upper left."""
        left, top, right, bottom = corners
        self._draw.rectangle(
            (left, top, max(left, right), max(top, bottom)), outline=colour, width=self._line
        )
        ground = self._draw.textbbox((left, top), name, font=self._font, anchor="lb")
        down = max(0.0, -ground[1])  # a name above the picture's edge goes into it
        ground = (ground[0], ground[1] + down, ground[2] + 2 * self._line, ground[3] + down)
        self._draw.rectangle(ground, fill=colour)
        at = (left + self._line, top + down)
        self._draw.text(at, name, fill="black", font=self._font, anchor="lb")

    def point(self, place: Sequence[float], colour: Colour) -> None:
        """A dot."""
        radius = 1.5 * self._line
        x, y = place
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
