"""The head of regression: one output, the numbers, as they are unless the contract says more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from artifact import ImageInput
from training.importing.heads.raw import RawHead
from training.importing.request import Request


class RegressionHead(RawHead):
    """Numbers without units."""

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        count = answers[0].shape[-1]
        ones = [1.0] * count
        return {"factor": ones, "offset": [0.0] * count, "unit": [""] * count, "scale": ones}


TASK = RegressionHead("regression")
