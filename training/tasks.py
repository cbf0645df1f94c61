"""The tasks that can be trained, by the name that their contracts give.

A further task is a package of its own and a line here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Protocol

from artifact import Revision
from training.classification import ClassificationTask
from training.loop import RunResult
from training.segmentation.task import SegmentationTask


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

    def summary(self, revision: Revision) -> str:
        """The results, for people."""


TASKS: dict[str, TrainingTask] = {
    "classification": ClassificationTask(),
    "segmentation": SegmentationTask(),
}


def task_of(preset: str) -> str:
    """The task whose folder has the preset.

    Raises:
        ValueError: there is no such preset.
    """
    for name, task in TASKS.items():
        if (task.presets / f"{preset}.yaml").exists():
            return name
    known = sorted(path.stem for task in TASKS.values() for path in task.presets.glob("*.yaml"))
    raise ValueError(f"no preset {preset!r}; there are: {', '.join(known)}")
