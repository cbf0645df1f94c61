"""The task ``detection``: boxes around what is seen in a picture."""

from tasks.detection.task import Detection

TASK = Detection()

__all__ = ["TASK"]
