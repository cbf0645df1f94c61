"""What the results of all tasks have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskMetrics:
    """Results of a revision; ``shipped_seed`` is the run whose weights these are."""

    shipped_seed: int
