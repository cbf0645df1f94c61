"""Boxes in a picture: corners, in pixels of the picture as it was sent, upright."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Boxes(NamedTuple):
    """What was found in a picture, or what is there.

    Attributes:
        corners: ``(n, 4)``: left, top, right, bottom.
        labels: ``(n,)`` indices of the contract's labels.
        scores: ``(n,)``; 1 of what is known to be there.
    """

    corners: Floats
    labels: NDArray[np.int64]
    scores: Floats

    def take(self, rows: NDArray[Any]) -> Boxes:
        """Those of these rows, in their order."""
        return Boxes(self.corners[rows], self.labels[rows], self.scores[rows])

    def of_class(self, label: int) -> Boxes:
        """Those of one label."""
        return self.take(self.labels == label)


def overlaps(one: Floats, other: Floats) -> Floats:
    """Intersection over union of ``(n, 4)`` and ``(m, 4)`` corners, ``(n, m)``."""
    low = np.maximum(one[:, np.newaxis, :2], other[:, :2])
    high = np.minimum(one[:, np.newaxis, 2:], other[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    union = _areas(one)[:, np.newaxis] + _areas(other) - common
    found: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return found


def _areas(corners: Floats) -> Floats:
    found: Floats = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    return found
