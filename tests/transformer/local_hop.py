"""A hop that computes here: the whole way from a picture to an answer, without servers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, Export, ModelCard, sha256_of, write_revision
from predictor.loading import LoadedRevision, load_revision
from serving.model import Answered, HttpRequest, Reply, ServedModel
from transformer.hop import ClientSettings, PredictorClient
from transformer.settings import TransformerSettings
from transformer.tasks import model_for


class LocalHop(PredictorClient):
    """Asks a loaded revision in this process."""

    def __init__(self, loaded: LoadedRevision) -> None:
        super().__init__(ClientSettings("unused:1", 1, 1, 32 << 20))
        self._loaded = loaded

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        outputs = self._loaded.outputs(np.ascontiguousarray(batch))
        return outputs, Answered(self._loaded.card.revision, self._loaded.digest, len(batch))


def served(root: Path, contract: Contract, program: bytes, executor: Executor) -> ServedModel:
    """A model of an ONNX program, written as the revision ``thing/1`` and loaded."""
    export = Export("onnx", "model.onnx", sha256_of(program), len(program), 18, 1, 0.0, 1e-5)
    card = ModelCard("thing", "1", contract, exports=(export,))
    write_revision(root, card, None, {"model.onnx": program})
    hop = LocalHop(load_revision(root, "thing", "1"))
    return model_for("thing", contract, hop, executor, TransformerSettings.model_validate({}))


async def ask(
    model: ServedModel, body: bytes, query: str = "", accept: str = "*/*", kind: str = "image/png"
) -> Reply:
    """The v1 reply to one picture."""
    request = HttpRequest(body, {"content-type": kind, "accept": accept}, query)
    return model.write_v1(await model.answer(model.read_v1(request), {}))
