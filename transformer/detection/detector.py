"""One detection model of the transformer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import DetectionContract
from transformer.detection.heads import Candidates, decode
from transformer.detection.options import DetectionOptions
from transformer.detection.suppression import select
from transformer.drawing import Canvas, label_colour
from transformer.frames.placement import Placement
from transformer.pictures.drawn import PIXEL_DIGITS, SCORE_DIGITS, DrawnModel, named_points
from transformer.pictures.model import Answer, Tensors


class Found(NamedTuple):
    """The boxes of one picture, the best first.

    Attributes:
        size: width and height of the picture.
        corners: ``(n, 4)`` in its pixels.
        keypoints: ``(n, k, 2)`` likewise.
        certainties: ``(n, k)`` of the keypoints; 1 where the network gives none.
    """

    size: tuple[int, int]
    corners: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    certainties: NDArray[np.float32]


class DetectionModel(DrawnModel[DetectionContract]):
    """Makes boxes of a head's outputs, leaves out all but the best, and puts them in place."""

    options = DetectionOptions
    kind = DetectionContract

    def get_output_types(self) -> list[dict[str, Any]]:
        types = [
            {"name": "count", "datatype": "INT64", "shape": [-1]},
            {"name": "box", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "class_id", "datatype": "INT64", "shape": [-1]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ]
        if points := len(self._contract.keypoints):
            types.append({"name": "keypoints", "datatype": "FP32", "shape": [-1, points, 3]})
        return types

    def read(self, answer: Answer) -> list[Found]:
        options = answer.batch.payload.options
        assert isinstance(options, DetectionOptions)
        contract = self._contract
        selection = options.selection(contract.selection)
        found = []
        for index, sizes in enumerate(answer.batch.sizes):
            outputs = [rows[index] for rows in answer.outputs]
            best = select(decode(outputs, contract, selection.score_threshold), selection)
            found.append(_placed(best, self._placing(*sizes)))
        return found

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        predictions = []
        for index, found in enumerate(answer.found):
            width, height = found.size
            predictions.append(
                {
                    "width": width,
                    "height": height,
                    "detections": [self._named(found, row) for row in range(len(found.scores))],
                    **self.encoded(answer, index),
                }
            )
        return predictions

    def _named(self, found: Found, row: int) -> dict[str, Any]:
        contract = self._contract
        label = int(found.labels[row])
        detection: dict[str, Any] = {
            "label": contract.labels[label],
            "class_id": label,
            "score": round(float(found.scores[row]), SCORE_DIGITS),
            "box": found.corners[row].round(PIXEL_DIGITS),
        }
        if contract.keypoints:
            detection["keypoints"] = named_points(
                contract.keypoints,
                found.keypoints[row],
                found.certainties[row] if contract.head.has_certainties else None,
            )
        return detection

    def tensors(self, answer: Answer) -> Tensors:
        """All pictures' boxes behind each other; ``count`` says how many are whose."""
        every: list[Found] = list(answer.found)
        labels = np.concatenate([found.labels for found in every])
        tensors: Tensors = {
            "count": np.array([len(found.labels) for found in every], np.int64),
            "box": np.concatenate([found.corners for found in every]).astype(np.float32),
            "score": np.concatenate([found.scores for found in every]),
            "class_id": labels,
            "label": [self._contract.labels[label] for label in labels],
        }
        if self._contract.keypoints:
            points = [
                np.concatenate([found.keypoints, found.certainties[..., np.newaxis]], axis=2)
                for found in every
            ]
            tensors["keypoints"] = np.concatenate(points).astype(np.float32)
        return tensors

    def draw(self, picture: Image.Image, found: Found) -> Image.Image:
        canvas = Canvas(picture)
        scale = picture.width / found.size[0], picture.height / found.size[1]
        # The best last, so that they lie on top.
        for row in reversed(range(len(found.scores))):
            label = int(found.labels[row])
            colour = label_colour(label)
            name = f"{self._contract.labels[label]} {found.scores[row]:.0%}"
            canvas.box((found.corners[row] * (*scale, *scale)).tolist(), colour, name)
            for place in (found.keypoints[row] * scale).tolist():
                canvas.point(place, colour)
        return picture


def _placed(best: Candidates, placement: Placement) -> Found:
    return Found(
        placement.size,
        placement.boxes(best.boxes),
        best.scores.astype(np.float32),
        best.labels.astype(np.int64),
        placement.points(best.keypoints[..., :2]),
        best.keypoints[..., 2],
    )
