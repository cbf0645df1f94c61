"""Tasks by the name that a contract gives: from a batch of tensors to the first output.

``artifact.tasks`` says how a further task is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from artifact import Contract, ModelCard
from artifact.tasks import find_part
from predictor.networks import Forward


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


def inference_for(card: ModelCard) -> Inference:
    """The inference of a card's task.

    Raises:
        CardError: there is none of that name.
    """
    kind: Callable[[Contract, float], Inference] = find_part("predictor", card.contract.task)
    return kind(card.contract, card.temperature)
