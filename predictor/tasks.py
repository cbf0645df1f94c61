"""Tasks by the name that a contract gives: from a batch of tensors to the first output.

A further task is a module of its own and a line here.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from artifact import CardError, ModelCard
from predictor.classification import Classification
from predictor.networks import Forward
from predictor.segmentation import Segmentation


class Inference(Protocol):
    """How a network is asked; built once a model, from its card."""

    @property
    def pass_rows(self) -> int:
        """Rows of one forward pass."""

    @property
    def warm_up_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of batches that the network must be able to answer."""

    def answer(self, network: Forward, batch: NDArray[Any], dtype: torch.dtype) -> NDArray[Any]:
        """The first output for a batch that fits the contract, in its ``output_dtype``.

        Args:
            network: in evaluation mode, for batches of ``dtype``; a module, or its ``unrolled``.
            batch: writeable.
        """


TASKS: dict[str, type[Classification] | type[Segmentation]] = {
    "classification": Classification,
    "segmentation": Segmentation,
}


def inference_for(card: ModelCard) -> Inference:
    """The inference of a card's task.

    Raises:
        CardError: there is none of that name.
    """
    task = card.contract.task
    if task not in TASKS:
        raise CardError("contract.task", f"{task!r} is none of {', '.join(sorted(TASKS))}")
    return TASKS[task](card.contract, card.temperature)
