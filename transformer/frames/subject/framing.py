"""Pictures to subjects in the frame."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image, ImageOps

from artifact import ImageInput, SubjectFrame
from transformer.colours import NEAREST, averaged
from transformer.frames.subject.find import SIDE, find_solids, find_strokes
from transformer.frames.subject.fit import fit
from transformer.frames.subject.regions import Box

ENOUGH = 360
"""Pixels of the shorter side of a JPEG that is decoded at a part of its size: a photograph of 12
megapixels at an eighth, where a subject of a tenth of it still has more than the network's box."""

TINY, LONGEST = 112, 1024
"""Pixels of the shorter side up to which a picture is enlarged, and of the longer one that it has
then at most."""

SOME = (4, 2)
"""Columns and rows of a block of 8 × 8 pixels and more whose mean stands for all of it: to read
every one of 12 megapixels takes as long as all that follows."""


class FramedSubject(NamedTuple):
    """A subject as the network is shown it.

    Attributes:
        picture: of the contract's size, on its background.
        box: in the picture that it was found in: left, top, right and bottom, in pixels.
        dark: whether it is darker than what surrounds it.
    """

    picture: Image.Image
    box: Box
    dark: bool


class SubjectFraming:
    """Finds what a picture is of; a picture of the contract's size is taken as it is."""

    enough: tuple[int, int] | None = (ENOUGH, ENOUGH)

    def __init__(self, spec: ImageInput) -> None:
        assert isinstance(spec.frame, SubjectFrame)
        self._frame = spec.frame
        self._size = (spec.width, spec.height)
        self._inverted = spec.background == "white"

    def shrink(self, image: Image.Image) -> Image.Image:
        if image.size == self._size:
            return image
        factor = min(image.size) // ENOUGH
        if factor < max(SOME) * 2:
            return averaged(image, factor)
        width, height = image.width // factor, image.height // factor
        some = (SOME[0] * width, SOME[1] * height)
        part = (0, 0, factor * width, factor * height)
        return averaged(image.resize(some, NEAREST, part), SOME)

    def bring(self, image: Image.Image) -> Image.Image:
        """The first subject; the background where there is none."""
        if image.size == self._size:
            return image
        found = self.subjects(image)
        return found[0].picture if found else self.background()

    def subjects(self, image: Image.Image, dark: bool | None = None) -> list[FramedSubject]:
        """All of them, in reading order.

        Args:
            image: of mode ``L``, of any size.
            dark: whether subjects are darker than what surrounds them; None to find out.
        """
        frame = self._frame
        small = _enlarged(averaged(image, min(image.size) // SIDE))
        find = find_solids if frame.stroke is None else find_strokes
        across, down = image.width / small.width, image.height / small.height
        found = []
        for subject in find(small, frame.contrast, dark):
            left, top, right, bottom = subject.box
            box = (
                round(left * across),
                round(top * down),
                min(image.width, round(right * across)),
                min(image.height, round(bottom * down)),
            )
            picture = fit(subject.contrast, frame, self._size)
            if self._inverted:
                picture = ImageOps.invert(picture)
            found.append(FramedSubject(picture, box, subject.dark))
        return found

    def background(self) -> Image.Image:
        """What the network is shown where there is no subject."""
        return Image.new("L", self._size, 255 if self._inverted else 0)


def _enlarged(image: Image.Image) -> Image.Image:
    """A picture of a few pixels with enough of them for an edge to be soft; others as they are."""
    factor = min(-(-TINY // min(image.size)), LONGEST // max(image.size))
    if factor < 2:
        return image
    size = (factor * image.width, factor * image.height)
    return image.resize(size, Image.Resampling.BICUBIC)
