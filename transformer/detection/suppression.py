"""Non-maximum suppression: of boxes of one class that overlap, the best is kept."""

from __future__ import annotations

import numpy as np

from artifact.detection import Selection
from tasks.detection.boxes import overlaps
from transformer.detection.heads import Candidates

MOST_CANDIDATES = 3000
"""Best candidates that are looked at: a threshold near 0 makes a candidate of every anchor."""


def select(found: Candidates, selection: Selection) -> Candidates:
    """The boxes that are answered, the best first.

    Greedy and for each class by itself: a box is left out where its intersection over union with
    a better one exceeds ``selection.iou_threshold``.
    """
    order = np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES]
    left = found.take(order)
    boxes = left.boxes.astype(np.float64)
    waiting = np.arange(len(order))
    kept: list[int] = []
    while waiting.size and len(kept) < selection.max_detections:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        if selection.iou_threshold < 1:
            (overlap,) = overlaps(boxes[[best]], boxes[waiting])
            rivals = left.labels[waiting] == left.labels[best]
            waiting = waiting[~(rivals & (overlap > selection.iou_threshold))]
    return left.take(np.array(kept, np.int64))
