"""Keypoints: answers and labels are points in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, KeypointsContract, KeypointsMetrics, TaskMetrics
from artifact.fields import Fields
from tasks.errors import AnswerError, LabelsError
from tasks.picture_task import PictureTask, numbers_of, prediction_of

MOST_ERROR = 0.05
"""Distance from which on a point is wrong, as a share of the picture's diagonal."""

SAME_ERROR = 0.005
"""Likewise, up to which two points are one: processors round differently."""


class Points(NamedTuple):
    """An answer: ``(points, 2)`` x and y, in a picture of this width and height."""

    places: NDArray[np.float64]
    diagonal: float


class Keypoints(PictureTask):
    """The score of an answer is the mean of its points': 1 in place, 0 from ``MOST_ERROR`` on.

    Labels are ``(n, points, 2)``: x and y in the picture's pixels, NaN of what cannot be seen.
    """

    name = "keypoints"
    outputs = ("keypoints", "certainty")
    tolerance = 0.01
    shown_query = "picture=true"

    def read_contract(self, fields: Fields) -> Contract:
        return KeypointsContract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return KeypointsMetrics.read(fields)

    def read_answer(self, contract: Contract, body: bytes) -> Points:
        prediction = prediction_of(body)
        try:
            places = {item["name"]: (item["x"], item["y"]) for item in prediction["keypoints"]}
            size = prediction["width"], prediction["height"]
            ordered = [places[name] for name in contract.labels]
        except (KeyError, TypeError):
            raise AnswerError("the answer does not have the model's keypoints") from None
        width, height = numbers_of(size, (2,))
        return Points(numbers_of(ordered, (len(ordered), 2)), float(np.hypot(width, height)))

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        wanted = (len(images), len(contract.labels), 2)
        if labels.shape != wanted or labels.dtype.kind != "f":
            raise LabelsError(f"labels must be points {wanted}, x and y")
        if np.isinf(labels).any() or np.isnan(labels).all(axis=(1, 2)).any():
            raise LabelsError("labels must be finite, and of every image one point be known")

    def score(self, contract: Contract, answer: Points, label: Any) -> float:
        errors = _distances(answer.places, np.asarray(label, np.float64)) / answer.diagonal
        known = errors[~np.isnan(errors)]
        return float(np.clip(1 - known / MOST_ERROR, 0, 1).mean())

    def measures(
        self, contract: Contract, answers: Sequence[Points], labels: NDArray[Any]
    ) -> dict[str, float]:
        """The mean distance of all points, as a share of their pictures' diagonals."""
        errors = [
            _distances(answer.places, np.asarray(label, np.float64)) / answer.diagonal
            for answer, label in zip(answers, labels, strict=True)
        ]
        return {"mean error": float(np.nanmean(np.concatenate(errors)))}

    def same(self, contract: Contract, one: Points, other: Points) -> bool:
        far = _distances(one.places, other.places) > SAME_ERROR * one.diagonal
        return one.diagonal == other.diagonal and not far.any()

    def score_text(self, total: float, count: int) -> str:
        return f"mean closeness {total / max(1, count):.3f} on {count}"

    def lines(self, prediction: dict[str, Any]) -> str:
        """A line per point: name, x, y, certainty where there is one."""
        found = prediction["keypoints"]
        width = max((len(str(item["name"])) for item in found), default=0)
        lines = []
        for item in found:
            line = f"{item['name']:<{width}}  {float(item['x']):7.1f}  {float(item['y']):7.1f}"
            score = item.get("score")
            lines.append(line if score is None else f"{line}  {float(score):>7.2%}")
        return "\n".join(lines)


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.hypot(*(one - other).T)
    return found
