"""The hop to the predictor: v2 over gRPC with raw tensor bytes."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from grpc import StatusCode
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from numpy.typing import NDArray

from artifact import Contract
from serving.errors import (
    BadPredictorAnswer,
    ContractRefused,
    DeadlineExceeded,
    MalformedRequest,
    Overloaded,
    ServingError,
    TooLarge,
    Unavailable,
    UnknownModel,
)
from serving.grpc.channel import Channel
from serving.grpc.messages import ERROR_CODE, RpcError
from serving.model import CONTRACT_DIGEST, Answered
from serving.v2 import NUMPY_TYPES

FORWARDED = ("x-request-id", "traceparent", "tracestate", "x-b3-traceid")
"""Headers that go on to the predictor; `authorization` is the client's and stays here."""

FORWARDABLE = re.compile(r"[\x20-\x7e]{1,512}")
"""What gRPC takes as metadata; it fails the whole call over anything else."""

NAMEABLE = re.compile(r"[\x21-\x7e]{0,256}")
"""What revision and digest may be made of: they become headers."""

MAX_RANK = 8
WAKE_PAUSE_SECONDS = 0.1

LIVE = "/inference.GRPCInferenceService/ServerLive"
INFER = "/inference.GRPCInferenceService/ModelInfer"

_BY_STATUS: dict[StatusCode, tuple[type[ServingError], str]] = {
    StatusCode.INVALID_ARGUMENT: (MalformedRequest, "the predictor refused the request"),
    StatusCode.FAILED_PRECONDITION: (MalformedRequest, "the predictor refused the request"),
    StatusCode.NOT_FOUND: (UnknownModel, "the predictor does not hold this model"),
    StatusCode.RESOURCE_EXHAUSTED: (Overloaded, "the predictor is overloaded"),
    StatusCode.UNAVAILABLE: (Unavailable, "the predictor cannot be reached"),
    StatusCode.DEADLINE_EXCEEDED: (DeadlineExceeded, "the predictor did not answer in time"),
}


@dataclass(frozen=True)
class HopSettings:
    """Where the predictor is and how long to try; ``attempts`` counts the first call.

    ``authority`` is the host that a gateway routes by, where it is not the target's own.
    """

    target: str
    timeout_seconds: float
    attempts: int
    max_message_bytes: int
    use_ssl: bool = False
    authority: str = ""


class PredictorHop:
    """One HTTP/2 connection to the predictor, shared by all models; made on first use.

    Raises:
        ValueError: ``settings.target`` is no ``host:port``.
    """

    def __init__(self, settings: HopSettings) -> None:
        self._settings = settings
        self._channel = Channel(
            settings.target,
            settings.max_message_bytes,
            use_ssl=settings.use_ssl,
            authority=settings.authority,
            attempts=settings.attempts,
        )
        self._woken = False

    @property
    def max_message_bytes(self) -> int:
        return self._settings.max_message_bytes

    async def wake(self) -> None:
        """Make the predictor start, where it is scaled to zero, before the first request needs it.

        Whoever wakes the transformer is about to need both, and their starts would else follow
        each other. Once, whatever becomes of it: it is a favour, not a check.
        """
        if self._woken:
            return
        self._woken = True
        give_up = time.monotonic() + self._settings.timeout_seconds
        while (left := give_up - time.monotonic()) > 0:
            try:
                await self._channel.call(LIVE, b"", left)
                return
            except RpcError as error:
                if error.code is not StatusCode.UNAVAILABLE:
                    return
            await asyncio.sleep(WAKE_PAUSE_SECONDS)

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[NDArray[Any], Answered]:
        """Send a batch ``(n, c, h, w)``; get the first output ``(n, …)`` and who answered.

        Raises:
            ServingError: the class that fits the predictor's status; its text is shown only if
                the predictor is one of ours, for anybody else's may name internal addresses.
        """
        spec = contract.input
        request = pb.ModelInferRequest(
            model_name=model,
            id=headers.get("x-request-id", ""),
            parameters={CONTRACT_DIGEST: pb.InferParameter(string_param=contract.digest)},
            inputs=[
                pb.ModelInferRequest.InferInputTensor(
                    name=spec.name, datatype=spec.dtype, shape=batch.shape
                )
            ],
            raw_input_contents=[batch.tobytes()],
        )
        sent = batch.shape
        del batch  # it may be large, and the answer takes a while
        message = request.SerializeToString()
        del request
        if len(message) > self._settings.max_message_bytes:
            raise TooLarge(f"{sent[0]} instances are too large for one call to the predictor")
        metadata = [
            (name, headers[name])
            for name in FORWARDED
            if FORWARDABLE.fullmatch(headers.get(name, ""))
        ]
        try:
            answer = await self._channel.call(
                INFER, message, self._settings.timeout_seconds, metadata
            )
            response = pb.ModelInferResponse.FromString(answer)
        except RpcError as error:
            raise _shown(error) from None
        except DecodeError:
            raise BadPredictorAnswer("the predictor's answer is damaged") from None
        return _read_response(response, contract, sent)

    async def close(self) -> None:
        await self._channel.close()


def _shown(error: RpcError) -> ServingError:
    kind, text = _BY_STATUS.get(error.code, (BadPredictorAnswer, "the predictor failed"))
    code = error.trailing.get(ERROR_CODE)
    if code is not None:
        text = error.details or text
    if code == ContractRefused.code:
        kind = ContractRefused
    return kind(text, code=code)


def _read_response(
    response: pb.ModelInferResponse, contract: Contract, sent: tuple[int, ...]
) -> tuple[NDArray[Any], Answered]:
    output = response.outputs[0] if response.outputs else None
    kind = np.dtype(NUMPY_TYPES[contract.output_dtype])
    if (
        output is None
        or output.name != contract.outputs[0]
        or output.datatype != contract.output_dtype
        or not 1 <= len(output.shape) <= MAX_RANK
        or min(output.shape) < 0
        or output.shape[0] != sent[0]
        or len(response.raw_output_contents) != 1
    ):
        raise BadPredictorAnswer("the predictor's answer does not fit the contract")
    contents = response.raw_output_contents[0]  # every look at it is a copy
    if len(contents) != kind.itemsize * math.prod(output.shape):
        raise BadPredictorAnswer("the predictor's answer does not fit the contract")
    values = np.frombuffer(contents, kind).reshape(output.shape)
    if kind.kind == "f" and not np.isfinite(values).all():
        raise BadPredictorAnswer("the predictor's answer is not finite")
    digest = response.parameters["model_digest"].string_param
    if not NAMEABLE.fullmatch(response.model_version + digest):
        raise BadPredictorAnswer("the predictor's answer does not fit the contract")
    return values, Answered(response.model_version, digest, sent[0])
