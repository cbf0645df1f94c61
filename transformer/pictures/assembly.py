"""From the instances of several requests to the one batch of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput, SubjectFrame, Whole
from transformer.pictures.polarity import Polarity, polarities_of
from transformer.pictures.preprocess import Prepared, wanted_polarity


class Plain(NamedTuple):
    """An instance of a grey contract's size and mode whose polarity is yet to be found.

    Attributes:
        pixels: ``height * width`` intensities, row by row.
        polarity: as the request asked for it.
    """

    pixels: bytes
    polarity: Polarity


def has_plain(spec: ImageInput) -> bool:
    """Whether pictures of this contract's size need nothing but their polarity."""
    return spec.has_polarity and isinstance(spec.frame, (Whole, SubjectFrame))


def assemble(
    items: Sequence[Prepared | Plain], spec: ImageInput
) -> tuple[NDArray[np.uint8], list[Polarity | None]]:
    """Pixels ``(n, *spec.shape)`` and the polarity of each instance.

    Plain instances are looked at together: one by one, numpy's calls would take longer than its
    work.
    """
    plain = [item for item in items if isinstance(item, Plain)]
    if not plain:
        prepared = [item for item in items if isinstance(item, Prepared)]
        return np.stack([item.planes for item in prepared]), [item.polarity for item in prepared]
    planes, found = _inverted(plain, spec)
    if len(plain) == len(items):
        return planes, list(found)
    batch = np.empty((len(items), *spec.shape), np.uint8)
    polarities: list[Polarity | None] = []
    following = iter(zip(planes, found, strict=True))
    for row, item in enumerate(items):
        if isinstance(item, Plain):
            batch[row], polarity = next(following)
            polarities.append(polarity)
        else:
            batch[row] = item.planes
            polarities.append(item.polarity)
    return batch, polarities


def _inverted(items: Sequence[Plain], spec: ImageInput) -> tuple[NDArray[np.uint8], list[Polarity]]:
    """Pixels in the polarity that the network was trained on, and the one that each had."""
    pixels = np.frombuffer(b"".join([item.pixels for item in items]), np.uint8)
    pixels = pixels.reshape(len(items), -1)
    found = [
        was if item.polarity is Polarity.AUTO else item.polarity
        for item, was in zip(items, polarities_of(pixels, spec.width, spec.height), strict=True)
    ]
    wanted = wanted_polarity(spec)
    inverted = [0 if polarity is wanted else 255 for polarity in found]
    pixels = pixels ^ np.array(inverted, np.uint8)[:, np.newaxis]
    return pixels.reshape(len(items), *spec.shape), found
