"""Image to network input, as the contract says: used by serving and by training alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from artifact import ImageInput
from serving.pixels import normalised
from transformer.colours import in_mode
from transformer.frames import framing_for
from transformer.frames.subject import SubjectFraming
from transformer.frames.subject.regions import Box
from transformer.pictures.polarity import Polarity, find_polarity
from transformer.tensors import to_planes


class Prepared(NamedTuple):
    """One instance ready for the network.

    Attributes:
        planes: its pixels, in the contract's shape and order of channels.
        spec: the contract's input.
        polarity: what the picture had; None for a contract that has none.
        box: of the subject: left, top, right and bottom in the picture's pixels; None where the
            picture was taken as it is, or as a whole, or nothing was found.
        subjects: how many the picture has, as far as they were looked for: 0 where it is empty.
    """

    planes: NDArray[np.uint8]
    spec: ImageInput
    polarity: Polarity | None
    box: Box | None = None
    subjects: int = 1

    @property
    def tensor(self) -> NDArray[np.float32]:
        """Of the contract's shape, normalised."""
        return normalised(self.planes, self.spec)

    def scaled(self, scale: float) -> Prepared:
        """With its box in the pixels of a picture of another size."""
        if self.box is None or scale == 1:
            return self
        left, top, right, bottom = (round(scale * side) for side in self.box)
        return self._replace(box=(left, top, right, bottom))


def prepare(image: Image.Image, spec: ImageInput, polarity: Polarity = Polarity.AUTO) -> Prepared:
    """Bring a decoded picture to the contract's input; of several subjects, the first.

    A picture that has the contract's size and mode already comes through bit for bit as
    torchvision's ``ToTensor`` and ``Normalize`` would give it, unless its frame cuts something off.

    Args:
        image: any mode of Pillow's, upright.
        polarity: forced, or ``AUTO`` to find it; ignored where the contract has none.
    """
    return prepare_subjects(image, spec, polarity)[0]


def prepare_subjects(
    image: Image.Image, spec: ImageInput, polarity: Polarity = Polarity.AUTO
) -> list[Prepared]:
    """Every subject of a decoded picture, in reading order; one of 0 where it is empty.

    Pictures have several only where the contract's frame is ``subject``. Arguments as ``prepare``.
    """
    framing = framing_for(spec)
    original = image.size
    image = in_mode(framing.shrink(image), spec.mode)
    if isinstance(framing, SubjectFraming) and image.size != (spec.width, spec.height):
        return _found(image, original, spec, framing, polarity)
    found = None
    if spec.has_polarity:
        found = polarity
        if found is Polarity.AUTO:
            found = find_polarity(image, spec.width, spec.height)
        if found is not wanted_polarity(spec):
            image = ImageChops.invert(image)
    return [Prepared(to_planes(np.asarray(framing.bring(image)), spec), spec, found)]


def _found(
    image: Image.Image,
    original: tuple[int, int],
    spec: ImageInput,
    framing: SubjectFraming,
    polarity: Polarity,
) -> list[Prepared]:
    """Subjects of a grey picture, their boxes in the pixels of its original size."""
    dark = None if polarity is Polarity.AUTO else polarity is Polarity.DARK_ON_LIGHT
    subjects = framing.subjects(image, dark)
    if not subjects:
        empty = to_planes(np.asarray(framing.background()), spec)
        seen = find_polarity(image, spec.width, spec.height) if dark is None else polarity
        return [Prepared(empty, spec, seen, None, 0)]
    across, down = original[0] / image.width, original[1] / image.height
    found = []
    for subject in subjects:
        left, top, right, bottom = subject.box
        box = (round(left * across), round(top * down), round(right * across), round(bottom * down))
        seen = Polarity.DARK_ON_LIGHT if subject.dark else Polarity.LIGHT_ON_DARK
        planes = to_planes(np.asarray(subject.picture), spec)
        found.append(Prepared(planes, spec, seen, box, len(subjects)))
    return found


def wanted_polarity(spec: ImageInput) -> Polarity:
    """The polarity that a grey contract's network was trained on."""
    return Polarity.DARK_ON_LIGHT if spec.background == "white" else Polarity.LIGHT_ON_DARK
