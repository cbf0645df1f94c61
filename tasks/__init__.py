"""What can be asked of a model: one folder and one object per task, which every room asks.

Standard library and numpy only: neither torch nor Pillow is installed everywhere that asks.
"""

from tasks.errors import AnswerError, LabelsError, TaskError
from tasks.registry import find_task, task_names, task_of_outputs
from tasks.task import Question, Shown, Task

__all__ = [
    "AnswerError",
    "LabelsError",
    "Question",
    "Shown",
    "Task",
    "TaskError",
    "find_task",
    "task_names",
    "task_of_outputs",
]
