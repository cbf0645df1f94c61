"""What the live revision says of pictures that arrive, as it would say it to a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput
from predictor.loading import LoadedRevision
from registry.samples import Picture
from serving.pixels import normalised
from transformer.pictures.assembly import Plain, assemble, has_plain
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import prepare

Ask = Callable[[Sequence[Picture]], NDArray[np.float32]]
"""Probabilities ``(n, classes)`` for pictures as they came."""
BATCH = 256


def answers_of(revision: LoadedRevision) -> Ask:
    """Those of a classifier: prepared by the transformer, computed by the predictor's engine."""
    spec = revision.card.contract.input_as(ImageInput)
    size = (spec.height, spec.width)

    def tensors(images: Sequence[Picture]) -> NDArray[np.float32]:
        items = [
            Plain(image.tobytes(), Polarity.AUTO)
            if has_plain(spec) and image.shape == size
            else prepare(Image.fromarray(image), spec)
            for image in images
        ]
        return normalised(assemble(items, spec)[0], spec)

    def ask(images: Sequence[Picture]) -> NDArray[np.float32]:
        rows = [
            revision.probabilities(tensors(images[start : start + BATCH]))
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(rows).astype(np.float32)

    return ask
