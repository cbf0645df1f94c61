"""From the instances of several requests to the one tensor of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import GreyTable, Prepared


class Plain(NamedTuple):
    """An instance of a grey contract's size and mode whose normalisation is yet to come.

    Attributes:
        pixels: ``height * width`` intensities, row by row.
        polarity: as the request asked for it.
    """

    pixels: bytes
    polarity: Polarity


def assemble(
    items: Sequence[Prepared | Plain], spec: ImageInput, table: GreyTable | None
) -> tuple[NDArray[np.float32], list[Polarity | None]]:
    """``(n, channels, height, width)`` and the polarity of each instance.

    Plain instances are normalised together: one by one, numpy's calls would take longer than
    its work.

    Args:
        table: of the contract; there are no plain instances without one.
    """
    plain = [item for item in items if isinstance(item, Plain)]
    if not plain:
        prepared = [item for item in items if isinstance(item, Prepared)]
        return np.stack([item.tensor for item in prepared]), [item.polarity for item in prepared]
    assert table is not None
    tensors, found = table.prepare(
        [item.pixels for item in plain], [item.polarity for item in plain]
    )
    if len(plain) == len(items):
        return tensors, list(found)
    batch = np.empty((len(items), *spec.shape), np.float32)
    polarities: list[Polarity | None] = []
    following = iter(zip(tensors, found, strict=True))
    for row, item in enumerate(items):
        tensor, polarity = next(following) if isinstance(item, Plain) else item[:2]
        batch[row] = tensor
        polarities.append(polarity)
    return batch, polarities
