"""A trivial model and its application, for tests of the edges."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from kserve.model_repository import ModelRepository
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from prometheus_client import REGISTRY

from serving.errors import InvalidRequestError
from serving.model import Answered, HttpRequest, Reply, ServedModel
from serving.v2 import InferRequest, read_infer_request, write_infer_response

DIGEST = "sha256:" + "d" * 64


@dataclass(frozen=True)
class Numbers:
    values: list[float]
    request: InferRequest | None = None


@dataclass(frozen=True)
class Sum:
    total: float
    numbers: Numbers
    answered: Answered


class SumModel(ServedModel):
    """Adds up numbers; where it predicts, it pauses (seconds) and raises ``fault``."""

    def __init__(self, name: str = "sum", revision: str = "3", ready: bool = True) -> None:
        super().__init__(name)
        self.revision = revision
        self.ready = ready
        self.fault: BaseException | None = None
        self.pause = 0.0
        self.requests: list[HttpRequest] = []
        self.headers: list[dict[str, str]] = []
        self.closed = 0
        self.facts_wanted = False
        self.facts: dict[str, Any] = {}

    async def preprocess(
        self, payload: Numbers, headers: Mapping[str, str] | None = None
    ) -> Numbers:
        return payload

    async def predict(self, payload: Numbers, headers: Mapping[str, str] | None = None) -> Sum:
        self.headers.append(dict(headers or {}))
        await asyncio.sleep(self.pause)
        if self.facts_wanted:
            self.facts = await facts_of_the_loop()
        if self.fault is not None:
            raise self.fault
        answered = Answered(self.revision, DIGEST, len(payload.values))
        return Sum(sum(payload.values), payload, answered)

    def read_v1(self, request: HttpRequest) -> Numbers:
        self.requests.append(request)
        document = json.loads(request.body)
        self.facts_wanted = bool(document.get("facts"))
        for index, value in enumerate(document["instances"]):
            if not isinstance(value, (int, float)):
                raise InvalidRequestError("must be a number", instance=index)
        return Numbers(document["instances"])

    def read_v2(self, request: HttpRequest) -> Numbers:
        self.requests.append(request)
        parsed = read_infer_request(request)
        return Numbers(parsed.inputs[0].numbers().tolist(), parsed)

    def write_v1(self, answer: Sum) -> Reply:
        if self.facts_wanted:
            return Reply(json.dumps(self.facts).encode())
        return Reply(json.dumps({"predictions": [answer.total]}).encode(), headers={"x-own": "1"})

    def write_v2(self, answer: Sum) -> Reply:
        assert answer.numbers.request is not None
        outputs = {"sum": np.array([answer.total], np.float32)}
        return write_infer_response(
            answer.numbers.request, self.name, self.revision, {}, dict(outputs)
        )

    def read_grpc(self, request: pb.ModelInferRequest) -> Numbers:
        return Numbers(list(request.inputs[0].contents.fp32_contents))

    def write_grpc(self, answer: Sum) -> pb.ModelInferResponse:
        return pb.ModelInferResponse(model_name=self.name, model_version=answer.answered.revision)

    async def close(self) -> None:
        self.closed += 1


async def facts_of_the_loop() -> dict[str, Any]:
    """The kind of the running event loop, and how many threads its executor has at once."""

    def thread() -> int:
        time.sleep(0.05)
        return threading.get_ident()

    loop = asyncio.get_running_loop()
    threads = await asyncio.gather(*(loop.run_in_executor(None, thread) for _ in range(12)))
    return {"loop": f"{type(loop).__module__}.{type(loop).__name__}", "workers": len(set(threads))}


def repository(*models: ServedModel) -> ModelRepository:
    made = ModelRepository()
    for model in models:
        made.update(model)
    return made


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def sample(name: str, **labels: str) -> float:
    """A metric's value now; 0 where it has not been counted yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
