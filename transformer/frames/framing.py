"""What every kind of frame can do."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from artifact import ImageInput
from transformer.frames.resize import ResizeFraming
from transformer.frames.subject import SubjectFraming
from transformer.frames.whole import WholeFraming


class Framing(Protocol):
    """Brings pictures to one contract's height and width.

    Attributes:
        enough: width and height above which a JPEG may be decoded at a part of its size; None
            where every pixel counts.
    """

    enough: tuple[int, int] | None

    def __init__(self, spec: ImageInput) -> None: ...

    def shrink(self, image: Image.Image) -> Image.Image:
        """Make a large picture of any mode smaller before its colours are converted."""
        ...

    def bring(self, image: Image.Image) -> Image.Image:
        """A picture of the contract's mode at the contract's height and width."""
        ...


FRAMINGS: dict[str, type[Framing]] = {
    "whole": WholeFraming,
    "resize": ResizeFraming,
    "subject": SubjectFraming,
}


def framing_for(spec: ImageInput) -> Framing:
    """The framing of the kind that a contract's input names."""
    return FRAMINGS[spec.frame.kind](spec)
