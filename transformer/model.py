"""One model of the transformer, behind KServe's ``Model`` interface."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from artifact import Contract
from serving.model import Answered, HttpRequest, Reply, ServedModel
from serving.v2 import write_infer_response
from transformer.hop import PredictorHop
from transformer.image import ImageLimits, load_image, open_image
from transformer.payload import Payload, read_v1_payload, read_v2_payload
from transformer.preprocess import MARGIN, Prepared, prepare
from transformer.settings import TransformerSettings
from transformer.tasks import task_for


@dataclass(frozen=True)
class Batch:
    """Decoded instances on their way to the predictor; ``pixels`` as they were sent, together."""

    payload: Payload
    prepared: list[Prepared]
    pixels: int


@dataclass(frozen=True)
class Answer:
    """The predictor's outputs on their way back."""

    batch: Batch
    outputs: NDArray[np.float32]
    answered: Answered


class TransformerModel(ServedModel):
    """Decodes off the event loop, asks the predictor, names the classes.

    It is ready as soon as it has its contract: asking the predictor would keep that from
    scaling to zero.
    """

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorHop,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name)
        self._contract = contract
        self._task = task_for(contract)
        self._hop = hop
        self._executor = executor
        self._settings = settings
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        self.ready = True

    def start(self) -> None:
        """Nothing to do: there is nothing to load."""

    async def close(self) -> None:
        await self._hop.close()

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": self._contract.input.name, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return self._task.output_types()

    def read_v1(self, request: HttpRequest) -> Payload:
        return read_v1_payload(request, self._settings.max_instances)

    def read_v2(self, request: HttpRequest) -> Payload:
        return read_v2_payload(request, self._settings.max_instances)

    async def preprocess(self, payload: Payload, headers: Mapping[str, str] | None = None) -> Batch:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._prepare, payload
        )

    def _prepare(self, payload: Payload) -> Batch:
        spec = self._contract.input
        enough = (MARGIN * spec.width, MARGIN * spec.height)
        prepared = []
        pixels = 0
        for index, data in enumerate(payload.images):
            instance = index if payload.listed else None
            opened = open_image(data, self._limits, instance)
            pixels += opened.width * opened.height
            image = load_image(opened, instance, enough)
            prepared.append(prepare(image, spec, payload.options.polarity))
        return Batch(payload, prepared, pixels)

    async def predict(self, payload: Batch, headers: Mapping[str, str] | None = None) -> Answer:
        tensors = np.stack([item.tensor for item in payload.prepared])
        outputs, answered = await self._hop.infer(self.name, self._contract, tensors, headers or {})
        return Answer(payload, outputs, answered)

    def write_v1(self, answer: Answer) -> Reply:
        predictions = self._task.predictions(
            answer.outputs, answer.batch.payload.options, self._settings.default_top_k
        )
        for prediction, prepared in zip(predictions, answer.batch.prepared, strict=True):
            if prepared.polarity is not None:
                prediction["polarity"] = prepared.polarity.value
        document = {
            "predictions": predictions,
            "model_name": self.name,
            "model_version": answer.answered.revision,
        }
        return Reply(orjson.dumps(document), headers=self._headers(answer))

    def write_v2(self, answer: Answer) -> Reply:
        request = answer.batch.payload.request
        assert request is not None
        reply = write_infer_response(
            request,
            self.name,
            answer.answered.revision,
            {"model_digest": answer.answered.digest},
            self._task.tensors(answer.outputs),
        )
        return Reply(reply.body, reply.media_type, {**reply.headers, **self._headers(answer)})

    def _headers(self, answer: Answer) -> dict[str, str]:
        return {"x-model-pixels": str(answer.batch.pixels)}
