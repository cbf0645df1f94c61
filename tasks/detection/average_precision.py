"""Average precision as COCO counts it (Lin et al., 2014; cocodataset.org, "Detection Evaluation").

Of one class at one threshold of intersection over union: boxes, best first, each take the annotated
box that they overlap most and that no better one has taken; precision, made to fall with recall, is
read at 101 recalls. The mean is over thresholds, and over the classes that are annotated. All sizes
of boxes count, 100 boxes a picture and class at most, and none is annotated as a crowd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.detection.boxes import Boxes, overlaps

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_BOXES = 100


class Pair(NamedTuple):
    """What is in one picture, and what was found there."""

    truth: Boxes
    found: Boxes


def average_precisions(
    pairs: Sequence[Pair], classes: int, thresholds: Sequence[float] = THRESHOLDS
) -> NDArray[np.float64]:
    """Of every threshold (row) and class (column); NaN of a class that is nowhere annotated."""
    table = np.full((len(thresholds), classes), np.nan)
    for label in range(classes):
        those = [
            Pair(pair.truth.of_class(label), _best(pair.found.of_class(label))) for pair in pairs
        ]
        annotated = sum(len(pair.truth.labels) for pair in those)
        if not annotated:
            continue
        scores = np.concatenate([pair.found.scores for pair in those])
        order = np.argsort(-scores, kind="stable")
        right = np.concatenate([_matches(pair, thresholds) for pair in those], axis=1)[:, order]
        for row, hits in zip(table, right, strict=True):
            row[label] = _area(hits, annotated)
    return table


def mean_average_precision(table: NDArray[np.float64]) -> float:
    """The mean of ``average_precisions`` over all that is there; 0 where nothing is."""
    return float(np.nanmean(table)) if np.isfinite(table).any() else 0.0


def picture_score(pair: Pair, classes: int) -> float:
    """Average precision within one picture, over the classes that are in it or were found.

    1 where nothing is there and nothing was found.
    """
    seen = set(pair.truth.labels.tolist()) | set(pair.found.labels.tolist())
    if not seen:
        return 1.0
    table = average_precisions([pair], classes)
    return float(np.nan_to_num(table[:, sorted(seen)]).mean())


def _best(found: Boxes) -> Boxes:
    order = np.argsort(-found.scores, kind="stable")[:MOST_BOXES]
    return found.take(order)


def _matches(pair: Pair, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Whether each found box, best first, takes an annotated one; a row for each threshold."""
    shared = overlaps(pair.found.corners, pair.truth.corners)
    right = np.zeros((len(thresholds), len(pair.found.labels)), np.bool_)
    if not shared.size:
        return right
    for row, threshold in enumerate(thresholds):
        free = np.ones(len(pair.truth.labels), np.bool_)
        for index, line in enumerate(shared):
            open_line = np.where(free, line, -1.0)
            # Of several that are overlapped as much, the last: as COCO's own program does.
            best = len(line) - 1 - int(open_line[::-1].argmax())
            if open_line[best] >= threshold:
                right[row, index] = True
                free[best] = False
    return right


def _area(hits: NDArray[np.bool_], annotated: int) -> float:
    """The mean precision at 101 recalls, of found boxes in order of their scores."""
    if not hits.size:
        return 0.0
    right = np.cumsum(hits)
    recall = right / annotated
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())
