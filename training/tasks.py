"""The tasks that can be trained, by the name that their contracts give.

``artifact.tasks`` says how a further task is found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from artifact import ModelCard, Revision
from artifact.tasks import find_part, part_names
from client.http import PredictClient
from training.loop import RunResult


class TrainingTask(Protocol):
    """What a task brings to ``python -m training``.

    ``ready`` is whatever ``prepare`` gave: data, contract and settings, read once for all seeds.
    """

    @property
    def settings(self) -> type[Any]:
        """Its settings, a dataclass that extends ``RunSettings``."""

    @property
    def presets(self) -> Path:
        """The folder of its presets."""

    def prepare(self, options: argparse.Namespace, settings: Any) -> Any:
        """Read the data."""

    def fit(self, ready: Any, options: argparse.Namespace, seed: int, folder: Path) -> RunResult:
        """Train one seed."""

    def publish(
        self,
        ready: Any,
        options: argparse.Namespace,
        runs: list[RunResult],
        root: Path,
        revision: str,
    ) -> Revision:
        """Choose among the finished runs, test, and write a revision."""

    def evaluate(
        self, client: PredictClient, models: Path, model: str, wanted: str, data: str | None
    ) -> int:
        """Ask a running service for the test set and print the result beside the card's.

        Args:
            wanted: the revision that must answer; empty for any.

        Returns:
            0 where both are equal but for rounding, else 1.
        """

    def samples(self, card: ModelCard, data: str | None) -> Iterator[NDArray[Any]]:
        """The test set that a card names, as batches of the network's input.

        Raises:
            ValueError: the data set is not there.
        """

    def summary(self, revision: Revision) -> str:
        """The results, for people."""


def training_task(name: str) -> TrainingTask:
    """What the task of this name brings.

    Raises:
        CardError: it cannot be trained here.
    """
    return cast(TrainingTask, find_part("training", name))


def task_of(preset: str) -> str:
    """The task whose folder has the preset.

    Raises:
        ValueError: preset not found; names those there are.
    """
    tasks = {name: training_task(name) for name in part_names("training")}
    for name, task in tasks.items():
        if (task.presets / f"{preset}.yaml").exists():
            return name
    known = sorted(path.stem for task in tasks.values() for path in task.presets.glob("*.yaml"))
    raise ValueError(f"no preset {preset!r}; there are: {', '.join(known)}")
