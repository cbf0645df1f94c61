"""The task ``classification``: one label per picture."""

from transformer.classification.classifier import ClassificationModel

TASK = ClassificationModel
