"""Errors of tasks.

TaskError
├── AnswerError      a body that is not an answer of the task
└── LabelsError      labels that do not fit the task or its contract
"""

from __future__ import annotations


class TaskError(ValueError):
    """Base of all errors of tasks; the message is for people."""


class AnswerError(TaskError):
    pass


class LabelsError(TaskError):
    pass
