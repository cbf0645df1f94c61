"""The task ``embedding``: a vector that stands near those of similar pictures."""

from tasks.embedding.task import Embedding

TASK = Embedding()

__all__ = ["TASK"]
