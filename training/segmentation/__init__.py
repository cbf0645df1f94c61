"""Training of the task ``segmentation``: a class for every pixel of an image of any size."""

from training.segmentation.task import SegmentationTask

TASK = SegmentationTask()
