"""Non-maximum suppression: of boxes of one class that overlap, the best is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artifact.detection import Selection
from transformer.detection.heads import Candidates

MOST_CANDIDATES = 3000
"""Best candidates that are looked at: a threshold near 0 makes a candidate of every anchor."""


def select(found: Candidates, selection: Selection) -> Candidates:
    """The boxes that are answered, the best first.

    Greedy and for each class by itself: a box is left out where its intersection over union with
    a better one exceeds ``selection.iou_threshold``.
    """
    left = found.take(np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES])
    if selection.iou_threshold >= 1 or not len(left.scores):
        return left.take(np.arange(min(len(left.scores), selection.max_detections)))
    boxes = left.boxes.astype(np.float64)
    # Every class has a place of its own, where no other's boxes are.
    away = left.labels * (np.ptp(boxes) + 1)
    kept = _greedy(boxes + away[:, np.newaxis], selection.iou_threshold, selection.max_detections)
    return left.take(kept)


def _greedy(boxes: NDArray[np.float64], threshold: float, most: int) -> NDArray[np.int64]:
    """Rows of the boxes that are kept, of ``(n, 4)`` in order of their scores."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    waiting = np.arange(len(boxes))
    kept: list[int] = []
    while waiting.size and len(kept) < most:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        width = np.minimum(x2[waiting], x2[best]) - np.maximum(x1[waiting], x1[best])
        height = np.minimum(y2[waiting], y2[best]) - np.maximum(y1[waiting], y1[best])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        # Without a division, so that two empty boxes are no rivals.
        waiting = waiting[common <= threshold * (areas[waiting] + areas[best] - common)]
    return np.array(kept, np.int64)
