"""What the live revision says of pictures that arrive, as it would say it to a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput
from predictor.loading import LoadedRevision
from registry.samples import Picture
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import GreyTable, prepare

Ask = Callable[[Sequence[Picture]], NDArray[np.float32]]
"""Probabilities ``(n, classes)`` for pictures as they came."""
BATCH = 256


def answers_of(revision: LoadedRevision) -> Ask:
    """Those of a classifier: prepared by the transformer, computed by the predictor's engine."""
    spec = revision.card.contract.input_as(ImageInput)
    table = GreyTable(spec) if GreyTable.serves(spec) else None

    def tensors(images: Sequence[Picture]) -> NDArray[np.float32]:
        if table is not None and all(i.shape == (spec.height, spec.width) for i in images):
            return table.prepare([i.tobytes() for i in images], [Polarity.AUTO] * len(images))[0]
        return np.stack([prepare(Image.fromarray(image), spec).tensor for image in images])

    def ask(images: Sequence[Picture]) -> NDArray[np.float32]:
        rows = [
            revision.probabilities(tensors(images[start : start + BATCH]))
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(rows).astype(np.float32)

    return ask
