"""The head of detection: raw outputs, whose layout the contract names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from artifact import ImageInput
from training.importing.heads.raw import RawHead
from training.importing.request import Request

SELECTION = {"score_threshold": 0.25, "iou_threshold": 0.45, "max_detections": 300}


class DetectionHead(RawHead):
    """One output of more columns than rows is YOLOv8's; another layout has to be said."""

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {"selection": SELECTION}
        if len(answers) == 1 and answers[0].ndim == 3:
            rows, columns = answers[0].shape[1:]
            if rows < columns:
                found["head"] = {"kind": "yolov8", "anchors": columns}
                if not labels and request.numbered:
                    found["labels"] = [str(number) for number in range(rows - 4)]
            else:
                found["head"] = {"kind": "yolov5", "anchors": rows}
        return found


TASK = DetectionHead("detection")
