"""How a room finds its part of a task: by the task's name, in no table.

A task is spread over rooms: ``tasks`` reads its cards and judges its answers, ``transformer``
serves it, ``predictor.programs`` computes it, ``training`` trains it. A room's part of the task
``x`` is the attribute ``TASK`` of the module ``<room>.x``, or the object behind the entry point
``x`` of the group ``vision.<room>``, which any installed package may declare. So a further task
edits no file here.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from importlib.metadata import entry_points
from typing import Any

from artifact.errors import CardError

ATTRIBUTE = "TASK"
HOME = "tasks"
"""The room that every task has a part in; its packages are the tasks of this project."""


def find_part(room: str, task: str) -> Any:
    """A room's part of a task.

    Raises:
        CardError: the room has no part of a task of that name; names those it has.
    """
    module = f"{room}.{task.replace('-', '_')}"
    if task in _own_tasks() and importlib.util.find_spec(module) is not None:
        return getattr(importlib.import_module(module), ATTRIBUTE)
    for entry in entry_points(group=_group(room), name=task):
        return entry.load()
    raise CardError("contract.task", f"{task!r} is none of {', '.join(part_names(room))}")


def part_names(room: str) -> list[str]:
    """The tasks that a room has a part of, sorted."""
    own = [t for t in _own_tasks() if importlib.util.find_spec(f"{room}.{t.replace('-', '_')}")]
    return sorted({*own, *entry_points(group=_group(room)).names})


def _group(room: str) -> str:
    return f"vision.{room}"


def _own_tasks() -> list[str]:
    home = importlib.import_module(HOME)
    return [m.name.replace("_", "-") for m in pkgutil.iter_modules(home.__path__) if m.ispkg]
