"""Regression: answers and labels are numbers, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, RegressionContract, RegressionMetrics, TaskMetrics
from artifact.fields import Fields
from tasks.errors import AnswerError, LabelsError
from tasks.picture_task import PictureTask, numbers_of, prediction_of

SAME_ERROR = 0.01
"""Difference up to which two numbers are one, in units of the contract's ``scale``."""


class Regression(PictureTask):
    """The score of an answer is the mean of its numbers': 1 if right, 0 from ``scale`` off on."""

    name = "regression"
    outputs = ("values",)
    tolerance = 0.01

    def read_contract(self, fields: Fields) -> Contract:
        return RegressionContract.read(self.name, fields)

    def read_metrics(self, fields: Fields) -> TaskMetrics:
        return RegressionMetrics.read(fields)

    def read_answer(self, contract: Contract, body: bytes) -> NDArray[np.float64]:
        """The numbers in the order of the contract's labels."""
        try:
            values = {item["label"]: item["value"] for item in prediction_of(body)["values"]}
            ordered = [values[label] for label in contract.labels]
        except (KeyError, TypeError):
            raise AnswerError("the answer does not have the model's numbers") from None
        return numbers_of(ordered, (len(ordered),))

    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        wanted = (len(images), len(contract.labels))
        if labels.shape != wanted or labels.dtype.kind not in "iuf":
            raise LabelsError(f"labels must be numbers {wanted}, a row per image")
        if not np.isfinite(labels).all():
            raise LabelsError("labels must be finite")

    def score(self, contract: Contract, answer: NDArray[np.float64], label: Any) -> float:
        errors = np.abs(answer - np.asarray(label, np.float64)) / _scale(contract)
        return float(np.clip(1 - errors, 0, 1).mean())

    def measures(
        self, contract: Contract, answers: Sequence[NDArray[np.float64]], labels: NDArray[Any]
    ) -> dict[str, float]:
        """The mean absolute error of each number, in its unit."""
        errors = np.abs(np.stack(answers) - np.asarray(labels, np.float64)).mean(axis=0)
        return {
            f"mean absolute error, {label}": float(error)
            for label, error in zip(contract.labels, errors, strict=True)
        }

    def same(
        self, contract: Contract, one: NDArray[np.float64], other: NDArray[np.float64]
    ) -> bool:
        return bool((np.abs(one - other) <= SAME_ERROR * _scale(contract)).all())

    def score_text(self, total: float, count: int) -> str:
        return f"mean closeness {total / max(1, count):.3f} on {count}"

    def lines(self, prediction: dict[str, Any]) -> str:
        """A line per number: name, number, unit."""
        found = [
            (str(item["label"]), float(item["value"]), str(item.get("unit", "")))
            for item in prediction["values"]
        ]
        width = max((len(label) for label, _, _ in found), default=0)
        return "\n".join(
            f"{label:<{width}}  {value:12.6g} {unit}".rstrip() for label, value, unit in found
        )


def _scale(contract: Contract) -> NDArray[np.float64]:
    assert isinstance(contract, RegressionContract)
    return np.array(contract.scale)
