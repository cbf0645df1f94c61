"""The head of segmentation: one output, the scores of every cell of a photograph."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from artifact import ImageInput
from training.importing.heads.raw import RawHead
from training.importing.request import Request

GOLDEN = 0.618034
"""Of a turn around the colour wheel, from one label to the next: neighbours differ most."""


class SegmentationHead(RawHead):
    """Scores ``(labels, h, w)``, at the input's size or a whole part of it."""

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {"outputs": ["scores"]}
        if answers[0].ndim == 4:
            _, count, rows, _ = answers[0].shape
            found["colours"] = [colour(index) for index in range(count)]
            found["stride"] = max(1, spec.height // rows)
            if not labels and request.numbered:
                found["labels"] = [str(number) for number in range(count)]
        return found


def colour(index: int) -> list[int]:
    """Of a label that has none of its own."""
    levels = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.75, 0.9)
    return [round(255 * level) for level in levels]


TASK = SegmentationHead("segmentation")
