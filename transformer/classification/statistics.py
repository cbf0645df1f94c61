"""What answers of a classifier are like: how certain, how familiar, which labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ManyLabelsContract
from artifact.statistics import label_bins
from artifact.trust import FAMILIAR_FROM
from transformer.pictures.tally import Judged, Outputs

LEAST = 1e-12
"""Probabilities below have no logarithm worth mentioning."""


class AnswerStatistics:
    """Reads probabilities, and how familiar a picture is where the contract says so."""

    def __init__(self, contract: Contract) -> None:
        self._classes = len(contract.labels)
        self._outputs = len(contract.outputs)
        # Of a picture with many labels, probabilities are not shares of one.
        self._has_entropy = self._classes > 1 and not isinstance(contract, ManyLabelsContract)
        bins = label_bins(contract.labels)
        self.labels: Sequence[str] = bins.names
        self._places = np.array(bins.places, np.intp)

    def takes(self, outputs: Outputs) -> bool:
        return (
            len(outputs) == self._outputs
            and outputs[0].shape[1:] == (self._classes,)
            and (self._outputs == 1 or outputs[1].ndim == 1)
        )

    def places(self, classes: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which of ``labels`` classes are counted as."""
        return self._places[classes]

    def judged(self, outputs: Outputs) -> Judged:
        probabilities = outputs[0]
        confidence = probabilities.max(axis=1)
        judged = Judged({"confidence": confidence}, self.places(probabilities.argmax(axis=1)))
        if self._has_entropy:
            logarithms = np.log(np.maximum(probabilities, LEAST))
            entropy = -np.einsum("ij,ij->i", probabilities, logarithms)
            judged.numbers["entropy"] = entropy / math.log(self._classes)
        if len(outputs) > 1:
            judged.numbers["familiarity"] = outputs[1]
            judged.numbers["confidence"] = confidence[outputs[1] >= FAMILIAR_FROM]
        return judged
