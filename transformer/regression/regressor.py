"""One regression model of the transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import RegressionContract
from transformer.pictures.model import Answer, PictureModel, Tensors


class RegressionModel(PictureModel):
    """Answers numbers in the contract's units."""

    def get_output_types(self) -> list[dict[str, Any]]:
        return [{"name": "values", "datatype": "FP32", "shape": [-1, len(self._contract.labels)]}]

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        contract = self._contract
        assert isinstance(contract, RegressionContract)
        return [
            {
                "values": [
                    {"label": label, "value": value, **({"unit": unit} if unit else {})}
                    for label, value, unit in zip(contract.labels, row, contract.unit, strict=True)
                ]
            }
            for row in self._values(answer)
        ]

    def tensors(self, answer: Answer) -> Tensors:
        return {"values": self._values(answer)}

    def _values(self, answer: Answer) -> NDArray[np.float32]:
        """``(n, labels)`` in the contract's units."""
        contract = self._contract
        assert isinstance(contract, RegressionContract)
        raw = answer.outputs[0].astype(np.float64)
        return (raw * contract.factor + contract.offset).astype(np.float32)
