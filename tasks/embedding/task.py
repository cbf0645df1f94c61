"""Embedding: answers are vectors of length 1, labels vectors that they are to point like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, EmbeddingContract, EmbeddingMetrics, TaskMetrics
from artifact.fields import Fields
from tasks.errors import AnswerError, LabelsError
from tasks.picture_task import PictureTask, numbers_of, prediction_of

SAME_COSINE = 0.999
"""From which on two vectors are one: processors round differently."""

SHOWN_NUMBERS = 8


class Embedding(PictureTask):
    """The score of an answer is its cosine with the label, 0 where they point apart.

    A label is the vector that a search is to find the picture by: that of a neighbour it belongs
    to, or the picture's own as it stands in an index. So a revision passes a rollout's gate where
    it finds its way in the indexes that its clients have stored.
    """

    name = "embedding"
    outputs = ("embedding",)
    tolerance = 0.005

    def read_contract(self, fields: Fields) -> Contract:
        return EmbeddingContract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return EmbeddingMetrics.read(fields)

    def read_answer(self, contract: Contract, body: bytes) -> NDArray[np.float64]:
        """``(dimension,)`` numbers."""
        vector = prediction_of(body).get("embedding")
        return numbers_of(vector, (_dimension(contract),))

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        wanted = (len(images), _dimension(contract))
        if labels.shape != wanted or labels.dtype.kind != "f":
            raise LabelsError(f"labels must be vectors {wanted}, one per image")
        if not np.isfinite(labels).all() or not labels.any(axis=1).all():
            raise LabelsError("labels must be finite, and none of length 0")

    def score(self, contract: Contract, answer: NDArray[np.float64], label: Any) -> float:
        return max(0.0, cosine(answer, np.asarray(label, np.float64)))

    def same(
        self, contract: Contract, one: NDArray[np.float64], other: NDArray[np.float64]
    ) -> bool:
        return cosine(one, other) >= SAME_COSINE

    def score_text(self, total: float, count: int) -> str:
        return f"mean cosine {total / max(1, count):.4f} on {count}"

    def lines(self, prediction: dict[str, Any]) -> str:
        """How many numbers there are, and the first of them."""
        vector = [float(number) for number in prediction["embedding"]]
        first = "  ".join(f"{number:+.4f}" for number in vector[:SHOWN_NUMBERS])
        more = "  …" if len(vector) > SHOWN_NUMBERS else ""
        return f"{len(vector)} numbers:  {first}{more}"


def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Of the angle between two vectors; 0 where one has no direction.

    Raises:
        AnswerError: they are of different lengths.
    """
    if one.shape != other.shape:
        raise AnswerError(f"a vector of {one.size} numbers, and one of {other.size}")
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def _dimension(contract: Contract) -> int:
    assert isinstance(contract, EmbeddingContract)
    return contract.dimension
