"""The task ``regression``: named numbers for a picture."""

from tasks.regression.task import Regression

TASK = Regression()

__all__ = ["TASK"]
