"""The task ``classification``: one label per picture."""

from tasks.classification.task import Classification

TASK = Classification()

__all__ = ["TASK"]
