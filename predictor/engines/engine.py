"""What computes: the one interface behind which PyTorch, ONNX Runtime or another engine stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from artifact import ArtifactError, Revision

Arrays = tuple[NDArray[Any], ...]
"""One array for each of a contract's outputs; their first axes count the instances."""


class EngineError(ArtifactError):
    """An engine cannot serve a revision as it was asked to; the message can be shown."""


@dataclass(frozen=True)
class EngineOptions:
    """How a revision is to be served.

    Attributes:
        precision: ``float32`` or ``bfloat16``, of weights and activations.
        device: ``cpu`` or ``cuda``.
        passes: at once, each in a thread of the worker pool.
    """

    precision: str = "float32"
    device: str = "cpu"
    passes: int = 1


class Session(Protocol):
    """A revision that an engine has loaded. Any thread may run it; several may at once."""

    @property
    def warm_up_sizes(self) -> tuple[int, ...]:
        """Instances of the batches that it is to be tried with before it serves."""

    @property
    def memory_bytes(self) -> int:
        """Of weights and of what was compiled from them, as far as the engine knows."""

    def run(self, batch: NDArray[Any]) -> Arrays:
        """The contract's outputs, in its order, for a batch that fits the contract.

        Computes in the calling thread: the worker pool has one for each processor.
        """

    def stop(self, thread: int) -> bool:
        """Have the run in the thread of that identity fail soon; called from another thread.

        Returns:
            False where this engine cannot.
        """


class Engine(Protocol):
    """Loads revisions.

    Attributes:
        preference: ``auto`` asks the engine with the highest first.
    """

    preference: int

    def refusal(self, revision: Revision, options: EngineOptions) -> str | None:
        """Why it cannot serve that revision like this, told by the card; None where it can."""

    def needed_bytes(self, revision: Revision) -> int:
        """Memory that loading takes at least, told by the card."""

    def load(self, revision: Revision, options: EngineOptions) -> Session:
        """Read, verify and build.

        Raises:
            ArtifactError: a file is missing, is not the one that the card names, or is not valid.
        """
