"""One classification model of the transformer."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from artifact import Contract
from serving.errors import InvalidRequestError
from serving.model import HttpRequest
from transformer.classification.answers import Classification
from transformer.classification.options import ClassificationOptions
from transformer.hop import PredictorClient
from transformer.pictures.model import Answer, PictureModel, Tensors
from transformer.pictures.payload import Payload
from transformer.settings import TransformerSettings


class ClassificationModel(PictureModel):
    """Names the classes."""

    options = ClassificationOptions

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, contract, hop, executor, settings)
        self._task = Classification(contract)

    def read_v1(self, request: HttpRequest) -> Payload:
        return self._checked(super().read_v1(request))

    def read_v2(self, request: HttpRequest) -> Payload:
        return self._checked(super().read_v2(request))

    def _checked(self, payload: Payload) -> Payload:
        options = payload.options
        assert isinstance(options, ClassificationOptions)
        if options.threshold is not None and not self._task.has_many:
            raise InvalidRequestError("threshold is of models whose pictures may have many labels")
        return payload

    def get_output_types(self) -> list[dict[str, Any]]:
        return self._task.output_types()

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        options = answer.batch.payload.options
        assert isinstance(options, ClassificationOptions)
        (probabilities,) = answer.outputs
        return self._task.predictions(probabilities, options, self._settings.default_top_k)

    def tensors(self, answer: Answer) -> Tensors:
        options = answer.batch.payload.options
        assert isinstance(options, ClassificationOptions)
        (probabilities,) = answer.outputs
        return self._task.tensors(probabilities, options.threshold)
