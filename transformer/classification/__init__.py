"""The task ``classification``: one label per picture."""

from transformer.classification.model import ClassificationModel

TASK = ClassificationModel
