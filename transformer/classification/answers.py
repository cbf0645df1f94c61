"""The task ``classification``: probabilities to named classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import CardError, Contract
from serving.errors import BadPredictorAnswerError
from transformer.classification.options import ClassificationOptions

DIGITS = 6
"""Probabilities are answered to a millionth: what float32 honestly holds."""

FEW_LABELS = 64
"""Up to so many, Python has sorted a row before numpy has begun."""


class Classification:
    """Names classes in the order of the contract's labels."""

    def __init__(self, contract: Contract) -> None:
        if len(contract.outputs) != 1:
            raise CardError("contract.outputs", "classification has one output")
        self._labels = contract.labels

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
        return found

    def tensors(self, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any] | list[str]]:
        self._check(outputs)
        best = outputs.argmax(axis=1)
        return {
            "label": [self._labels[i] for i in best],
            "class_id": best.astype(np.int64),
            "probability": outputs[np.arange(len(outputs)), best],
            "probabilities": outputs,
        }

    def output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "class_id", "datatype": "INT64", "shape": [-1]},
            {"name": "probability", "datatype": "FP32", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(self._labels)]},
        ]

    def _check(self, outputs: NDArray[np.float32]) -> None:
        if outputs.ndim != 2 or outputs.shape[1] != len(self._labels):
            raise BadPredictorAnswerError("the predictor's answer does not fit the contract")
