"""The head of embedding: one output, the vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from artifact import ImageInput
from training.importing.heads.raw import RawHead
from training.importing.request import Request


class EmbeddingHead(RawHead):
    """Its dimension is the output's."""

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        return {"outputs": ["embedding"], "dimension": answers[0].shape[-1]}


TASK = EmbeddingHead("embedding")
