"""What the results of all tasks have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artifact.fields import Fields


@dataclass(frozen=True)
class TaskMetrics:
    """Results of a revision.

    Attributes:
        shipped_seed: the run whose weights these are; None where they are all runs' average.
    """

    shipped_seed: int | None


def check_shipped(shipped: int | None, seeds: Sequence[int], fields: Fields) -> None:
    """Note a shipped seed that is none of those that were run."""
    if fields.sound and shipped is not None and shipped not in seeds:
        fields.fault("shipped_seed", "is none of the seeds")
