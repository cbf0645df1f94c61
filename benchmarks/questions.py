"""What is asked: request bodies, each with the answers of a reference that has no server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput
from benchmarks.answers import Expected
from benchmarks.load import Question
from benchmarks.networks import MODEL, Network
from benchmarks.pictures import SIDE, encode_png, enlarged
from predictor.loading import LoadedRevision, load_revision
from training.data import LabelledImages
from transformer.pictures.preprocess import prepare

Known = tuple[bytes, Expected]
"""A PNG and what is known of it."""


class Reference:
    """Preprocessing and forward pass in this process, one image at a time."""

    def __init__(self, network: Network) -> None:
        self._loaded: LoadedRevision = load_revision(network.root, MODEL, network.revision)
        self._spec = self._loaded.card.contract.input_as(ImageInput)

    def probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """``(n, classes)``."""
        batch = np.stack([prepare(image, self._spec).tensor for image in images])
        return self._loaded.probabilities(batch)

    def known(self, data: LabelledImages, count: int, side: int = SIDE) -> list[Known]:
        """The first ``count`` images that the network gets right, enlarged to ``side`` pixels.

        No two neighbours have the same label, so that answers that change places are noticed.
        """
        found: list[Known] = []
        labels: list[int] = []
        for pixels, label in zip(data.images, data.labels, strict=True):
            if len(found) == count:
                break
            if labels and labels[-1] == label:
                continue
            image = enlarged(pixels, side)
            row = self.probabilities([image])[0]
            if int(row.argmax()) == label:
                # Peers resample with other filters; the class must survive that, no more.
                probability = float(row[label]) if side == SIDE else None
                found.append((encode_png(image), Expected(int(label), probability)))
                labels.append(int(label))
        if len(found) < count:
            raise ValueError(f"the network gets only {len(found)} images right, not {count}")
        return found


def v1_body(images: Sequence[bytes]) -> bytes:
    """KServe's v1 protocol; most peers are set up to take the same."""
    instances = [{"base64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"instances": instances}).encode()


def v2_body(images: Sequence[bytes]) -> bytes:
    """The Open Inference Protocol in JSON, images as base64 in a BYTES tensor."""
    data = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "image", "shape": [len(data), 1], "datatype": "BYTES", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def questions(
    known: Sequence[Known],
    images_a_request: int = 1,
    body: Callable[[Sequence[bytes]], bytes] = v1_body,
) -> list[Question]:
    """Requests with consecutive images, until every image was asked at least once."""
    found = []
    for start in range(0, len(known), images_a_request):
        part = [known[(start + i) % len(known)] for i in range(images_a_request)]
        expected = tuple(expected for _, expected in part)
        found.append(Question(body([png for png, _ in part]), expected))
    return found
