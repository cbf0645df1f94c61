"""The task ``keypoints``: where the named points of a picture's subject are."""

from tasks.keypoints.task import Keypoints

TASK = Keypoints()

__all__ = ["TASK"]
