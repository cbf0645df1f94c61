"""One embedding model of the transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import EmbeddingContract
from transformer.pictures.model import Answer, PictureModel, Tensors


class EmbeddingModel(PictureModel):
    """Answers vectors of length 1, whatever length the network gave them."""

    def get_output_types(self) -> list[dict[str, Any]]:
        contract = self._contract
        assert isinstance(contract, EmbeddingContract)
        return [{"name": "embedding", "datatype": "FP32", "shape": [-1, contract.dimension]}]

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        return [{"embedding": vector} for vector in normalised(answer.outputs[0])]

    def tensors(self, answer: Answer) -> Tensors:
        return {"embedding": normalised(answer.outputs[0])}


def normalised(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """``(n, dimension)`` vectors at length 1; one of length 0 has no direction and stays so."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
