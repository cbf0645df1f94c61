"""Detection: answers are boxes in the picture's own pixels, and so are labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, DetectionContract, DetectionMetrics, TaskMetrics
from artifact.fields import Fields
from tasks.detection.average_precision import (
    Pair,
    average_precisions,
    mean_average_precision,
    picture_score,
)
from tasks.detection.boxes import Boxes, overlaps
from tasks.errors import AnswerError, LabelsError
from tasks.labels import every_label, indices_of
from tasks.picture_task import PictureTask, numbers_of, prediction_of

SAME_OVERLAP = 0.9
"""Intersection over union from which on two boxes are one: processors round differently."""


class Detection(PictureTask):
    """The score of an answer is its average precision within the picture.

    Labels are ``(n, most, 5)`` numbers: left, top, right, bottom and the class of each box of a
    picture, in its pixels; rows of class -1 fill up.
    """

    name = "detection"
    outputs = ("count", "box", "score", "class_id", "label")
    tolerance = 0.005
    shown_query = "picture=true"

    def read_contract(self, fields: Fields) -> Contract:
        return DetectionContract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return DetectionMetrics.read(fields)

    def read_answer(self, contract: Contract, body: bytes) -> Boxes:
        return _boxes(contract.labels, body)

    def read_answer_as(self, home: Contract, contract: Contract, body: bytes) -> Boxes:
        """Boxes of classes that ``home`` does not have are left out: nobody annotated such."""
        _boxes(contract.labels, body)
        found = _boxes(every_label(home, contract), body)
        return found.take(found.labels < len(home.labels))

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        if labels.ndim != 3 or labels.shape[2] != 5 or len(labels) != len(images):
            raise LabelsError("labels must be (n, most, 5): corners and class of each box")
        if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
            raise LabelsError("labels must be finite numbers")
        rows = labels[labels[..., 4] >= 0]
        if not np.isin(rows[:, 4], range(len(contract.labels))).all():
            raise LabelsError(f"classes must be 0 to {len(contract.labels) - 1}, or -1")
        if (rows[:, 2:4] <= rows[:, :2]).any():
            raise LabelsError("a box has its right or bottom before its left or top")

    def score(self, contract: Contract, answer: Boxes, label: Any) -> float:
        return picture_score(Pair(annotated(label), answer), len(contract.labels))

    def measures(
        self, contract: Contract, answers: Sequence[Boxes], labels: NDArray[Any]
    ) -> dict[str, float]:
        """Average precision as COCO counts it: over all thresholds, at 0.5 and at 0.75."""
        pairs = [
            Pair(annotated(label), found) for label, found in zip(labels, answers, strict=True)
        ]
        table = average_precisions(pairs, len(contract.labels))
        rows = {"AP": table, "AP50": table[:1], "AP75": table[5:6]}
        return {name: mean_average_precision(part) for name, part in rows.items()}

    def same(self, contract: Contract, one: Boxes, other: Boxes) -> bool:
        """Every box of either has one in the other, of its label and nearly its place."""
        shared = overlaps(one.corners, other.corners)
        met = (shared >= SAME_OVERLAP) & (one.labels[:, np.newaxis] == other.labels)
        return len(one.labels) == len(other.labels) and bool(
            met.any(axis=0).all() and met.any(axis=1).all()
        )

    def score_text(self, total: float, count: int) -> str:
        return f"mean AP {total / max(1, count):.3f} on {count}"

    def lines(self, prediction: dict[str, Any]) -> str:
        """A line per box: label, score, corners."""
        found = [
            (str(item["label"]), float(item["score"]), [float(side) for side in item["box"]])
            for item in prediction["detections"]
        ]
        if not found:
            return "nothing found"
        width = max(len(label) for label, _, _ in found)
        return "\n".join(
            f"{label:<{width}}  {score:>7.2%}  " + "  ".join(f"{side:7.1f}" for side in box)
            for label, score, box in found
        )


def _boxes(labels: Sequence[str], body: bytes) -> Boxes:
    try:
        found = prediction_of(body)["detections"]
        classes = indices_of([item["label"] for item in found], labels)
        corners, scores = [item["box"] for item in found], [item["score"] for item in found]
    except (KeyError, TypeError, AnswerError):
        raise AnswerError("the answer lists no detections of the model's labels") from None
    count = len(classes)
    return Boxes(
        numbers_of(corners, (count, 4)),
        np.array(classes, np.int64),
        numbers_of(scores, (count,)),
    )


def annotated(label: NDArray[Any]) -> Boxes:
    """The boxes of one picture's label, ``(most, 5)``."""
    rows = np.asarray(label, np.float64)
    rows = rows[rows[:, 4] >= 0]
    return Boxes(rows[:, :4], rows[:, 4].astype(np.int64), np.ones(len(rows)))
