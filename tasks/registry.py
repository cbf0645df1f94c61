"""Tasks by name, and by what a server says of its model."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from artifact.tasks import HOME, find_part, part_names
from tasks.errors import TaskError
from tasks.task import Task


def find_task(name: str) -> Task:
    """The task that a contract names.

    Raises:
        CardError: no task has this name; names those there are.
    """
    return cast(Task, find_part(HOME, name))


def task_names() -> list[str]:
    """All tasks, sorted."""
    return part_names(HOME)


def task_of_outputs(outputs: Collection[str]) -> Task:
    """The task of a served model, by the names of its v2 outputs.

    A model may have more of them than its task needs; it is of the one that needs most.

    Raises:
        TaskError: they are those of no task.
    """
    tasks = [find_task(name) for name in task_names()]
    fitting = [task for task in tasks if set(task.outputs) <= set(outputs)]
    if fitting:
        return max(fitting, key=lambda task: len(task.outputs))
    raise TaskError(f"a model with the outputs {', '.join(sorted(outputs))} is of no known task")
