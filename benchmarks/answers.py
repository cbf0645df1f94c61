"""What the servers answer, and whether it is right. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TOLERANCE = 0.01
"""How far a probability may lie from the reference: what bfloat16 and rounding can make of it."""


@dataclass(frozen=True)
class Expected:
    """The reference's answer to one image.

    Attributes:
        probability: of that class; None where resampling may change it.
    """

    class_id: int
    probability: float | None = None


def read_answers(body: bytes) -> list[tuple[int, float]]:
    """Class and probability of each prediction of a v1 or v2 response, or of a bare list.

    A prediction is an object with ``class_id`` and ``probability``, or a row of probabilities;
    of a v2 response the first output is taken, as rows of probabilities.

    Raises:
        ValueError: it is something else.
    """
    document = json.loads(body)
    if isinstance(document, dict) and "outputs" in document:
        output = document["outputs"][0]
        document = _rows(output["data"], output["shape"][-1])
    elif isinstance(document, dict):
        document = document.get("predictions")
    if not isinstance(document, list):
        raise ValueError("there are no predictions")
    return [_read_answer(item) for item in document]


def right(body: bytes, expected: Sequence[Expected]) -> bool:
    """Whether the response answers exactly these images, in order."""
    try:
        found = read_answers(body)
    except (ValueError, TypeError, KeyError, IndexError):
        return False
    return len(found) == len(expected) and all(
        class_id == wanted.class_id
        and (wanted.probability is None or abs(probability - wanted.probability) <= TOLERANCE)
        for (class_id, probability), wanted in zip(found, expected, strict=True)
    )


def _rows(values: list[float], width: int) -> list[list[float]]:
    return [values[start : start + width] for start in range(0, len(values), width)]


def _read_answer(item: Any) -> tuple[int, float]:
    if isinstance(item, list):
        best = max(range(len(item)), key=item.__getitem__)
        return best, float(item[best])
    return int(item["class_id"]), float(item["probability"])
