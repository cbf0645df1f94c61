"""Heads: what is put behind a network's own outputs, so that they are those of a task's contract.

The head of the task ``x`` is ``TASK`` of the module ``x`` here, or the entry point ``x`` of the
group ``vision.training.importing.heads``: ``artifact.tasks`` says how it is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from artifact import Contract, ImageInput
from artifact.tasks import find_part, part_names
from training.importing.request import Request

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Head", "find_head", "head_names"]


class Head(Protocol):
    """Of one task. Answers are arrays by the names of the network's own outputs."""

    def fits(self, answers: dict[str, NDArray[Any]], batch: NDArray[Any]) -> bool:
        """Whether outputs of such shapes are of this task, where nobody says which it is."""

    def choose(self, answers: dict[str, NDArray[Any]], request: Request) -> tuple[str, ...]:
        """The outputs that are used; raises ImportRefusedError, naming those there are."""

    def contract(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> Contract:
        """The contract that chosen answers lead to; raises ImportRefusedError."""

    def finish(
        self,
        contract: Contract,
        answers: Sequence[NDArray[Any]],
        request: Request,
    ) -> tuple[NDArray[Any], ...]:
        """The contract's outputs, from the chosen answers: what the program has to give."""

    def append(
        self,
        model: ModelProto,
        contract: Contract,
        answers: Sequence[NDArray[Any]],
        request: Request,
    ) -> None:
        """The same, as nodes behind a program whose outputs are the chosen ones."""


def find_head(task: str) -> Head:
    """Raises CardError, which names those there are."""
    head: Head = find_part(__name__, task)
    return head


def head_names() -> list[str]:
    return part_names(__name__)
