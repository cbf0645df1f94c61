"""Tasks by the name that a contract gives: what is made of a model's outputs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from artifact import CardError, Contract
from transformer.classification import Classification
from transformer.payload import Options


class Task(Protocol):
    """From outputs to answers; built once a model, from its contract."""

    def predictions(
        self, outputs: NDArray[np.float32], options: Options, default_top_k: int
    ) -> list[dict[str, Any]]:
        """One v1 prediction an instance, in order."""

    def tensors(self, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any] | list[str]]:
        """The v2 outputs; a list of strings is a BYTES tensor."""

    def output_types(self) -> list[dict[str, Any]]:
        """The v2 metadata of those outputs."""


TASKS: dict[str, type[Classification]] = {"classification": Classification}


def task_for(contract: Contract) -> Task:
    """The task of a contract.

    Raises:
        CardError: there is none of that name.
    """
    if contract.task not in TASKS:
        known = ", ".join(sorted(TASKS))
        raise CardError("contract.task", f"{contract.task!r} is none of {known}")
    return TASKS[contract.task](contract)
