"""The task ``keypoints``: where the named points of a picture's subject are."""

from transformer.keypoints.locator import KeypointsModel

TASK = KeypointsModel
