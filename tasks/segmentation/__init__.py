"""The task ``segmentation``: one label per pixel."""

from tasks.segmentation.task import Segmentation

TASK = Segmentation()

__all__ = ["TASK"]
