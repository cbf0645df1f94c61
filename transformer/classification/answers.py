"""The task ``classification``: probabilities to named classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import FAMILIARITY, CardError, Contract, ManyLabelsContract
from common.predicted import as_set
from serving.errors import BadPredictorAnswerError
from transformer.classification.options import ClassificationOptions

DIGITS = 6
"""Probabilities are answered to a millionth: what float32 honestly holds."""

FEW_LABELS = 64
"""Up to so many, Python has sorted a row before numpy has begun."""


class Classification:
    """Names classes in the order of the contract's labels."""

    def __init__(self, contract: Contract) -> None:
        if not contract.outputs or contract.outputs[1:] not in ((), (FAMILIARITY,)):
            raise CardError("contract.outputs", f"classification has one, and {FAMILIARITY}")
        self._labels = contract.labels
        self._thresholds: NDArray[np.float32] | None = None
        if isinstance(contract, ManyLabelsContract):
            self._thresholds = np.array(contract.thresholds, np.float32)
        self.is_judged = len(contract.outputs) > 1

    def predictions(
        self, outputs: NDArray[np.float32], options: ClassificationOptions, default_top_k: int
    ) -> list[dict[str, Any]]:
        self._check(outputs)
        count = min(options.top_k or default_top_k, len(self._labels))
        rows = outputs.tolist()
        if len(self._labels) <= FEW_LABELS:
            every = range(len(self._labels))
            order = [sorted(every, key=row.__getitem__, reverse=True)[:count] for row in rows]
        else:
            order = np.argsort(-outputs, axis=1, kind="stable")[:, :count].tolist()
        found = []
        for row, best in zip(rows, order, strict=True):
            top = [{"label": self._labels[i], "probability": round(row[i], DIGITS)} for i in best]
            found.append({**top[0], "class_id": best[0], "top": top})
        if self._thresholds is not None:
            self._name_many(found, outputs, options.threshold)
        return found

    def best(self, outputs: NDArray[np.float32]) -> list[tuple[str, float]]:
        """The most probable label of each row, and how probable it is."""
        rows = outputs.tolist()
        return [(self._labels[at], row[at]) for row in rows for at in [row.index(max(row))]]

    def named(
        self, outputs: NDArray[np.float32], threshold: float | None
    ) -> list[tuple[str, float]]:
        """All labels of each row as one text, and how probable the least probable of them is.

        Only of contracts whose pictures may have several.
        """
        found = []
        for row, reached in zip(outputs.tolist(), self._reached(outputs, threshold), strict=True):
            places = np.flatnonzero(reached).tolist()
            least = min((row[i] for i in places), default=0.0)
            found.append((as_set(self._labels[i] for i in places), least))
        return found

    @property
    def has_many(self) -> bool:
        """Whether a picture may have several labels."""
        return self._thresholds is not None

    def _reached(self, outputs: NDArray[np.float32], threshold: float | None) -> NDArray[np.bool_]:
        """Which labels pictures have, ``(n, labels)``."""
        assert self._thresholds is not None
        found: NDArray[np.bool_] = outputs >= (
            self._thresholds if threshold is None else np.float32(threshold)
        )
        return found

    def _name_many(
        self, found: list[dict[str, Any]], outputs: NDArray[np.float32], threshold: float | None
    ) -> None:
        """Add all labels that reach their thresholds, the most probable first."""
        reached = self._reached(outputs, threshold)
        for prediction, row, named in zip(found, outputs, reached, strict=True):
            prediction["labels"] = [
                {"label": self._labels[i], "probability": round(float(row[i]), DIGITS)}
                for i in sorted(np.flatnonzero(named).tolist(), key=row.__getitem__, reverse=True)
            ]

    def tensors(
        self, outputs: NDArray[np.float32], threshold: float | None = None
    ) -> dict[str, NDArray[Any] | list[str]]:
        self._check(outputs)
        best = outputs.argmax(axis=1)
        many = {"reached": self._reached(outputs, threshold)} if self.has_many else {}
        return {
            "label": [self._labels[i] for i in best],
            "class_id": best.astype(np.int64),
            "probability": outputs[np.arange(len(outputs)), best],
            "probabilities": outputs,
            **many,
        }

    def output_types(self) -> list[dict[str, Any]]:
        count = len(self._labels)
        many = [{"name": "reached", "datatype": "BOOL", "shape": [-1, count]}]
        types = [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "class_id", "datatype": "INT64", "shape": [-1]},
            {"name": "probability", "datatype": "FP32", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, count]},
            *(many if self.has_many else []),
        ]
        if self.is_judged:
            types += [
                {"name": "familiarity", "datatype": "FP32", "shape": [-1]},
                {"name": "unsure", "datatype": "BOOL", "shape": [-1]},
                {"name": "why", "datatype": "BYTES", "shape": [-1]},
            ]
        return types

    def _check(self, outputs: NDArray[np.float32]) -> None:
        if outputs.ndim != 2 or outputs.shape[1] != len(self._labels):
            raise BadPredictorAnswerError("the predictor's answer does not fit the contract")
