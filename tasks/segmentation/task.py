"""Segmentation: pictures travel as they are, answers are numpy files or overlays, labels masks."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import (
    Contract,
    PhotographContract,
    RasterInput,
    SegmentationContract,
    SegmentationMetrics,
    TaskMetrics,
)
from artifact.fields import Fields
from artifact.photographs import UNLABELLED
from tasks.errors import AnswerError, LabelsError
from tasks.task import Question, Shown, Task

OCTETS = "application/octet-stream"
NPY = "application/x-npy"
PNG = "image/png"
SAMPLE = "aerial.tif"
PHOTOGRAPH = "three.jpg"

SAME_SHARE = 0.99
"""Share of pixels with the same label from which two masks count as the same: processors round
differently, and along the border between two labels a few pixels fall to either."""


class Segmentation(Task):
    """The score of a mask is its mean intersection over union, over the labels that occur."""

    name = "segmentation"
    outputs = ("mask", "pixels")
    tolerance = 0.005

    def read_contract(self, fields: Fields) -> Contract:
        if fields.has("stride"):
            return PhotographContract.read(self.name, fields)
        return SegmentationContract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return SegmentationMetrics.read(fields)

    def probe(self, contract: Contract) -> NDArray[Any]:
        if isinstance(contract, PhotographContract):
            return np.zeros((1, *contract.input.shape), np.float32)
        spec = contract.input_as(RasterInput)
        return np.zeros((1, len(spec.bands), spec.multiple, spec.multiple), np.uint8)

    def question(self, picture: bytes) -> Question:
        return Question(picture, OCTETS, NPY)

    def read_answer(self, contract: Contract, body: bytes) -> NDArray[np.uint8]:
        """``(height, width)`` label indices."""
        try:
            mask = np.load(io.BytesIO(body), allow_pickle=False)
        except (ValueError, OSError, EOFError):
            raise AnswerError("not a numpy file") from None
        if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.uint8:
            raise AnswerError("the numpy file holds no mask (height, width) of bytes")
        return mask

    def read_answer_as(self, home: Contract, contract: Contract, body: bytes) -> NDArray[np.uint8]:
        """What is no label of ``home`` becomes ``UNLABELLED``."""
        places = [home.labels.index(x) if x in home.labels else UNLABELLED for x in contract.labels]
        table = np.full(256, UNLABELLED, np.uint8)
        table[: len(places)] = places
        return table[self.read_answer(contract, body)]

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        if labels.ndim != 3 or labels.shape != images.shape[:3]:
            raise LabelsError("labels must be masks (n, h, w), one per image and of its size")
        if labels.dtype != np.uint8:
            raise LabelsError(f"masks must be uint8, not {labels.dtype}")
        if ((labels >= len(contract.labels)) & (labels != _void(contract))).any():
            raise LabelsError(f"masks must hold 0 to {len(contract.labels) - 1}")
        if not (labels != _void(contract)).any(axis=(1, 2)).all():
            raise LabelsError("a mask has no annotated pixel")

    def score(self, contract: Contract, answer: NDArray[np.uint8], label: Any) -> float:
        void, classes = _void(contract), len(contract.labels)
        # Whatever is no label is one more class, in which nothing can be right.
        size = classes + 1
        if answer.shape != label.shape:
            raise AnswerError(f"a mask of shape {answer.shape} to a picture of {label.shape}")
        known = label != void
        # What is no label (the mask's own "no data") is wrong in whatever class it should be.
        found = np.where((answer < classes) & (answer != void), answer, classes)[known]
        pairs = label[known].astype(np.int64) * size + found
        counts = np.bincount(pairs, minlength=size**2).reshape(size, size)
        hits = np.diag(counts)
        unions = counts.sum(0) + counts.sum(1) - hits
        occurs = unions > 0
        occurs[classes] = False
        return float((hits[occurs] / unions[occurs]).mean())

    def same(self, contract: Contract, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
        return one.shape == other.shape and float((one == other).mean()) >= SAME_SHARE

    def score_text(self, total: float, count: int) -> str:
        return f"mean IoU {total / max(1, count):.3f} on {count}"

    def shown_question(self, picture: bytes, limit: int) -> Question:
        return Question(picture, OCTETS, PNG)

    def show(self, body: bytes) -> Shown:
        """The picture with its classes' colours over it."""
        if not body.startswith(b"\x89PNG"):
            raise AnswerError("the answer is no PNG")
        return Shown(file=body, suffix=".png")

    def sample(self, contract: Contract, names: Sequence[str]) -> str:
        sample = PHOTOGRAPH if isinstance(contract, PhotographContract) else SAMPLE
        if sample not in names:
            raise LookupError(f"sample {sample} not found")
        return sample

    def curl(self, url: str, picture: str, name: str, options: str = "") -> str:
        more = f"{options} " if options else ""
        return f"curl -s {more}-F file=@{shlex.quote(picture)} '{url}?output=png' -o {name}.png"


def _void(contract: Contract) -> int:
    """What masks hold where nobody said what there is."""
    return contract.void if isinstance(contract, SegmentationContract) else UNLABELLED
