"""The task ``detection``: boxes around what is seen in a picture."""

from transformer.detection.detector import DetectionModel

TASK = DetectionModel
