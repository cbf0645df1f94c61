"""The task ``embedding``: a vector that stands near those of similar pictures."""

from transformer.embedding.embedder import EmbeddingModel

TASK = EmbeddingModel
