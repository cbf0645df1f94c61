"""Embedding: answers are vectors of length 1, labels vectors that they are to point like."""

from __future__ import annotations

from collections.abc import Sequence
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
RECALLS = (1, 5, 10)


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

    def measures(
        self, contract: Contract, answers: Sequence[NDArray[np.float64]], labels: NDArray[Any]
    ) -> dict[str, float]:
        """Recall at 1, 5 and 10 (see ``recall_at``)."""
        vectors = np.stack(answers)
        return {f"recall@{count}": recall_at(count, vectors, labels) for count in RECALLS}

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


def recall_at(count: int, vectors: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """Share of pictures that a search for ``count`` neighbours finds.

    Args:
        vectors: ``(n, dimension)`` answers, of length 1.
        labels: ``(n,)`` classes: a picture is found if another of its class is among its nearest,
            itself left out; those that are alone in their class do not count. Or
            ``(n, dimension)`` stored vectors: if its own is among those nearest to it.
    """
    if labels.ndim == 1:
        near = vectors @ vectors.T
        np.fill_diagonal(near, -np.inf)
        right: NDArray[np.bool_] = np.equal.outer(labels, labels)
        np.fill_diagonal(right, False)
    else:
        stored = labels.astype(np.float64)
        near = vectors @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T
        right = np.eye(len(labels), dtype=np.bool_)
    nearest = np.argsort(-near, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(right, nearest, axis=1).any(axis=1)
    asked = int(right.any(axis=1).sum())  # nobody finds what is not there
    return float(found.sum()) / asked if asked else 0.0


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
