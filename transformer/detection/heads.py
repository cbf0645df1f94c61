"""From one picture's outputs to candidate boxes: a function for each layout of ``artifact.heads``.

Boxes are left, top, right and bottom in the network's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact.detection import DetectionContract
from artifact.heads import (
    AnchorGrid,
    BoxesHead,
    CentrePointsHead,
    Head,
    ScoresHead,
    SsdHead,
    YoloHead,
)

Floats = NDArray[np.float32]
MOST_EXPONENT = 4.135
"""Of a size's logarithm: log(1000 / 16), as in torchvision; what lies above would overflow."""


class Candidates(NamedTuple):
    """Boxes that reach the score threshold, in no order.

    Attributes:
        boxes: ``(n, 4)`` corners.
        scores: ``(n,)``.
        labels: ``(n,)`` indices of the contract's labels.
        keypoints: ``(n, k, 3)``: x and y in the network's pixels, and certainty.
    """

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]
    keypoints: Floats

    def take(self, rows: NDArray[Any]) -> Candidates:
        """Those of these rows, in their order."""
        return Candidates(*(column[rows] for column in self))


def decode(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    """The boxes of one instance whose score is ``threshold`` or more.

    Args:
        outputs: of one instance, in the contract's order.
    """
    return DECODERS[type(contract.head)](outputs, contract, threshold)


def _yolo(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    head = contract.head
    assert isinstance(head, YoloHead)
    classes = len(contract.labels)
    (found,) = outputs
    if head.kind == "yolov5":
        rows = found.T
        scores, extra = rows[5:] * rows[4], rows[:0]
    else:
        rows = found
        scores, extra = rows[4 : 4 + classes], rows[4 + classes :]
    labels = scores.argmax(axis=0)
    best = scores[labels, np.arange(scores.shape[1])]
    kept = np.flatnonzero(best >= threshold)
    points = extra[:, kept].T.reshape(len(kept), len(contract.keypoints), 3)
    return Candidates(_corners(rows[:4, kept].T), best[kept], labels[kept], points)


def _ssd(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    head = contract.head
    assert isinstance(head, SsdHead)
    shifts, scores = outputs
    scores = _foreground(_activated(scores, head.activation), head.background)
    rows, labels = np.nonzero(scores >= threshold)
    anchors = np.concatenate([_anchors(grid) for grid in head.grids])[rows]
    shifts = shifts[rows]
    centres = anchors[:, :2] + shifts[:, :2] * np.float32(head.variances[0]) * anchors[:, 2:]
    growth = np.minimum(shifts[:, 2:] * np.float32(head.variances[1]), MOST_EXPONENT)
    boxes = _corners(np.concatenate([centres, anchors[:, 2:] * np.exp(growth)], axis=1))
    return _without_keypoints(boxes, scores[rows, labels], labels)


def _scores(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    head = contract.head
    assert isinstance(head, ScoresHead)
    boxes, scores = outputs
    scores = _foreground(_activated(scores, head.activation), head.background)
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), labels]
    kept = np.flatnonzero(best >= threshold)
    boxes = boxes[kept]
    if head.unit == "share":
        spec = contract.image
        boxes = boxes * np.array([spec.width, spec.height] * 2, np.float32)
    boxes = _corners(boxes) if head.box == "centre" else boxes
    return _without_keypoints(boxes, best[kept], labels[kept])


def _centre_points(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    head = contract.head
    assert isinstance(head, CentrePointsHead)
    centres, sizes, offsets = outputs[:3]
    scores = _activated(centres, head.activation)
    labels, rows, columns = np.nonzero(scores >= threshold)
    first, second = (1, 0) if head.order == "yx" else (0, 1)

    def pairs(maps: NDArray[Any]) -> Floats:
        """X and y of every candidate, ``(n, 2)``."""
        found: Floats = maps[[first, second]][:, rows, columns].T
        return found

    size = pairs(sizes)
    if head.size == "log-cells":
        size = np.exp(np.minimum(size, MOST_EXPONENT + np.log(np.float32(head.stride))))
    cells = np.stack([columns, rows], axis=1) + pairs(offsets) + np.float32(head.shift)
    boxes = _corners(np.concatenate([cells, size], axis=1).astype(np.float32) * head.stride)
    count = len(contract.keypoints)
    points = np.empty((len(rows), count, 2), np.float32)
    for index in range(count):
        # Shares of the box, from its corner on.
        share = pairs(outputs[3][2 * index : 2 * index + 2])
        points[:, index] = boxes[:, :2] + share * (boxes[:, 2:] - boxes[:, :2])
    return Candidates(boxes, scores[labels, rows, columns], labels, _certain(points))


def _boxes(
    outputs: Sequence[NDArray[Any]], contract: DetectionContract, threshold: float
) -> Candidates:
    head = contract.head
    assert isinstance(head, BoxesHead)
    boxes, scores, labels = outputs
    labels = labels - head.first_class
    known = (labels >= 0) & (labels < len(contract.labels))
    kept = np.flatnonzero(known & (scores >= threshold))
    return _without_keypoints(boxes[kept], scores[kept], labels[kept])


Decoder = Callable[[Sequence[NDArray[Any]], DetectionContract, float], Candidates]
DECODERS: dict[type[Head], Decoder] = {
    YoloHead: _yolo,
    SsdHead: _ssd,
    ScoresHead: _scores,
    CentrePointsHead: _centre_points,
    BoxesHead: _boxes,
}


def _anchors(grid: AnchorGrid) -> Floats:
    """``(n, 4)`` centres and sizes."""
    rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(np.float32)
    centres = (np.stack([columns, rows], axis=-1) + np.float32(grid.offset)) * np.float32(grid.step)
    sizes = np.array(grid.sizes, np.float32)
    found = np.empty((grid.rows, grid.columns, len(sizes), 4), np.float32)
    found[..., :2] = centres[:, :, np.newaxis]
    found[..., 2:] = sizes
    return found.reshape(-1, 4)


def _corners(boxes: Floats) -> Floats:
    """``(n, 4)`` centres and sizes to corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _activated(values: Floats, activation: str) -> Floats:
    """Numbers as scores; softmax is over the last axis."""
    scores = values
    if activation == "sigmoid":
        scores = np.reciprocal(1 + np.exp(-np.clip(values, -80, 80)))
    elif activation == "softmax":
        scores = np.exp(values - values.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _foreground(scores: Floats, background: str) -> Floats:
    """Scores of the contract's labels alone."""
    columns = {"none": slice(None), "first": slice(1, None), "last": slice(None, -1)}
    return scores[:, columns[background]]


def _certain(points: Floats) -> Floats:
    """``(n, k, 2)`` keypoints that come without a certainty, with that of 1."""
    return np.concatenate([points, np.ones((*points.shape[:2], 1), np.float32)], axis=2)


def _without_keypoints(boxes: Floats, scores: Floats, labels: NDArray[np.int64]) -> Candidates:
    return Candidates(boxes, scores, labels, np.empty((len(boxes), 0, 3), np.float32))
