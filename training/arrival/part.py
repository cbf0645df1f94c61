"""Labelled pictures as they came in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.datasets import LARGEST_PART_BYTES
from registry.samples import Samples
from serving.errors import ServingError
from transformer.colours import in_mode
from transformer.image import ImageLimits, load_image, open_image
from transformer.settings import TransformerSettings

LIMITS = ImageLimits(
    TransformerSettings.model_fields["max_image_bytes"].default,
    TransformerSettings.model_fields["max_image_pixels"].default,
)
Picture = NDArray[np.uint8]


class UnreadablePartError(ValueError):
    """It is of no form that is read, or is damaged as a whole; the message says what to do."""


@dataclass
class ArrivedPart:
    """Pictures as they came, in the order of the files.

    Attributes:
        names: of files, or places in them; for people.
        labels: names of classes, as they were written.
        unreadable: why, by name.
        classes: in the order that the part gives them; empty where it gives none.
    """

    names: list[str] = field(default_factory=list)
    images: list[Picture] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def take(self, name: str, image: Image.Image | bytes, label: str) -> None:
        """Another picture, still encoded or not yet an array; noted where it cannot be read."""
        try:
            if isinstance(image, bytes):
                image = load_image(open_image(image, LIMITS), max_pixels=LIMITS.max_pixels)
            picture = np.asarray(_plain(image))
        except ServingError as error:
            self.unreadable[name] = str(error)
            return
        self._bytes += picture.nbytes
        if self._bytes > LARGEST_PART_BYTES:
            raise UnreadablePartError(
                f"the pictures have more than {LARGEST_PART_BYTES >> 20} MiB of pixels: bring them "
                "in several parts"
            )
        self.images.append(picture)
        self.names.append(name)
        self.labels.append(label)

    def samples(self, classes: Sequence[str] = ()) -> Samples:
        """As a store keeps them; of all their own classes, in alphabetical order, unless told."""
        return Samples.of(self.images, self.labels, classes or sorted(set(self.labels)))

    def chosen(self, places: Sequence[int]) -> ArrivedPart:
        """Those at these places."""
        return ArrivedPart(
            [self.names[i] for i in places],
            [self.images[i] for i in places],
            [self.labels[i] for i in places],
            self.unreadable,
            self.classes,
        )


def _plain(image: Image.Image) -> Image.Image:
    return in_mode(image, "L" if image.mode in ("1", "L", "I;16", "I", "F") else "RGB")
