"""The task ``classification``: pictures to a label each."""

from transformer.classification.model import ClassificationModel

TASK = ClassificationModel
