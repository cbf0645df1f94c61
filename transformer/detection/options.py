"""What a request of detection may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from artifact import Selection
from transformer.parameters import count, share
from transformer.pictures.drawn import DrawnOptions


@dataclass(frozen=True)
class DetectionOptions(DrawnOptions):
    """Which boxes are answered; None means what the contract says."""

    names: ClassVar[tuple[str, ...]] = (
        "score_threshold",
        "iou_threshold",
        "max_detections",
        *DrawnOptions.names,
    )
    integers: ClassVar[tuple[str, ...]] = ("max_detections",)

    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        return {
            **super()._chosen(values, accept),
            "score_threshold": share(values, "score_threshold"),
            "iou_threshold": share(values, "iou_threshold"),
            "max_detections": count(values, "max_detections"),
        }

    def selection(self, usual: Selection) -> Selection:
        """The contract's, with what the request chose in its place."""
        return Selection(
            usual.score_threshold if self.score_threshold is None else self.score_threshold,
            usual.iou_threshold if self.iou_threshold is None else self.iou_threshold,
            self.max_detections or usual.max_detections,
        )
