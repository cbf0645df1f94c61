"""The tasks that a card can be of: how its contract and its results are read.

A further task is a module of its own and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from artifact.classification import Metrics
from artifact.contract import Contract
from artifact.fields import Fields
from artifact.metrics import TaskMetrics
from artifact.segmentation import SegmentationContract, SegmentationMetrics


class TaskReader(NamedTuple):
    """Readers of the parts of a card that differ from task to task."""

    contract: Callable[[str, Fields], Contract]
    metrics: Callable[[Fields], TaskMetrics]


CLASSIFICATION = TaskReader(Contract.read, Metrics.read)

TASKS: dict[str, TaskReader] = {
    "classification": CLASSIFICATION,
    "segmentation": TaskReader(SegmentationContract.read, SegmentationMetrics.read),
}


def task_reader(task: str) -> TaskReader:
    """The readers of a task; an unknown one is read as classification.

    It is for the servers to refuse a task that they do not know: they say which they do.
    """
    return TASKS.get(task, CLASSIFICATION)
