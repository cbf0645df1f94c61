"""What the results of all tasks have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artifact.errors import CardError
from artifact.fields import Fields


@dataclass(frozen=True)
class TaskMetrics:
    """Results of a revision; ``shipped_seed`` is the run whose weights these are."""

    shipped_seed: int


def check_shipped(shipped: int, seeds: Sequence[int], fields: Fields) -> None:
    """See that the shipped seed is among those that were run.

    Raises:
        CardError: it is not.
    """
    if shipped not in seeds:
        raise CardError(fields.path("shipped_seed"), "is none of the seeds")
