"""A model whose revisions have different contracts, while one is rolled out after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from artifact import Contract
from common.predicted import Predicted
from serving.errors import ContractMismatchError
from serving.model import Answered, HttpRequest, Reply, ServedModel
from transformer.hop import PredictorClient
from transformer.settings import TransformerSettings
from transformer.tasks import model_for

RETRY_SECONDS = 5.0
"""How long an older contract is spoken before the newest is tried again."""


class Prepared(NamedTuple):
    """A payload as one of the models has prepared it, and as it came."""

    position: int
    payload: Any
    batch: Any


class Answer(NamedTuple):
    """An answer with the model that can write it."""

    model: ServedModel
    answer: Any

    @property
    def answered(self) -> Answered:
        found: Answered = self.answer.answered
        return found


def served_model(
    name: str,
    contracts: Sequence[Contract],
    hop: PredictorClient,
    executor: Executor,
    settings: TransformerSettings,
) -> ServedModel:
    """The served model of one contract, or of several, the newest first.

    Raises:
        CardError: no task of a contract's name is served.
    """
    models = [model_for(name, contract, hop, executor, settings) for contract in contracts]
    return models[0] if len(models) == 1 else ContractsModel(name, models)


class ContractsModel(ServedModel):
    """Speaks the newest contract that the predictor takes.

    A revision accepts the contracts of those before it, and refuses later ones. Where it refuses,
    the request is prepared anew after the next older contract; so no request is lost whichever
    revision a call reaches, and during a canary both are asked the same.

    Args:
        models: of one name and task, the one of the newest contract first.
    """

    def __init__(self, name: str, models: Sequence[ServedModel]) -> None:
        self._models = list(models)
        super().__init__(name)
        self._index = 0
        self._retry_at = 0.0

    @property
    def ready(self) -> bool:
        return bool(self._models[0].ready)

    @ready.setter
    def ready(self, value: bool) -> None:
        """The newest contract's model knows; KServe's constructor sets it."""

    def require_ready(self) -> None:
        self._models[0].require_ready()

    async def started(self) -> None:
        await self._models[0].started()

    def start(self) -> None:
        """Nothing to do: there is nothing to load."""

    async def close(self) -> None:
        for model in self._models:
            await model.close()

    def get_input_types(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._models[0].get_input_types()
        return found

    def get_output_types(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._models[0].get_output_types()
        return found

    def read_v1(self, request: HttpRequest) -> Any:
        return self._models[0].read_v1(request)

    def read_v2(self, request: HttpRequest) -> Any:
        return self._models[0].read_v2(request)

    async def preprocess(  # type: ignore[override]
        self, payload: Any, headers: Mapping[str, str] | None = None
    ) -> Prepared:
        if self._index and time.monotonic() >= self._retry_at:
            self._index = 0
        index = self._index
        return Prepared(index, payload, await self._models[index].preprocess(payload, headers))

    async def predict(  # type: ignore[override]
        self,
        payload: Prepared,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Answer:
        index, batch = payload.position, payload.batch
        while True:
            model = self._models[index]
            try:
                return Answer(model, await model.predict(batch, headers))
            except ContractMismatchError:
                index += 1
                if index == len(self._models):
                    raise
                self._index = max(self._index, index)
                self._retry_at = time.monotonic() + RETRY_SECONDS
                batch = await self._models[index].preprocess(payload.payload, headers)

    def predicted(self, answer: Answer) -> Iterable[Predicted]:
        return answer.model.predicted(answer.answer)

    def write_v1(self, answer: Answer) -> Reply:
        return answer.model.write_v1(answer.answer)

    def write_v2(self, answer: Answer) -> Reply:
        return answer.model.write_v2(answer.answer)
