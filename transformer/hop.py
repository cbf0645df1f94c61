"""The hop to the predictor: v2 over gRPC with raw tensor bytes."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
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
from serving.grpc import ERROR_CODE
from serving.model import CONTRACT_DIGEST, Answered
from serving.v2 import NUMPY_TYPES

FORWARDED = ("x-request-id", "traceparent", "tracestate", "x-b3-traceid")
"""Headers that go on to the predictor; `authorization` is the client's and stays here."""

FORWARDABLE = re.compile(r"[\x20-\x7e]{1,512}")
"""What gRPC takes as metadata; it fails the whole call over anything else."""

NAMEABLE = re.compile(r"[\x21-\x7e]{0,256}")
"""What revision and digest may be made of: they become headers."""

MAX_RANK = 8

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
    """One HTTP/2 channel to the predictor, shared by all models; made on first use.

    gRPC reconnects by itself; its pauses between attempts are cut from minutes to half a second,
    so that a predictor that comes back is found at once. Its pause between name look-ups is 30 s
    otherwise: a pod whose network policy is still being set up when it asks first would fail
    every call for that long.
    """

    def __init__(self, settings: HopSettings) -> None:
        self._settings = settings
        self._channel: aio.Channel | None = None
        self._infer: grpc.aio.UnaryUnaryMultiCallable | None = None
        self._woken = False

    @property
    def max_message_bytes(self) -> int:
        return self._settings.max_message_bytes

    def _connect(self) -> grpc.aio.UnaryUnaryMultiCallable:
        settings = self._settings
        options: list[tuple[str, str | int]] = [
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 5_000),
        ]
        if settings.authority:
            options.append(("grpc.default_authority", settings.authority))
        if settings.attempts > 1:
            options.append(("grpc.service_config", _retry_config(settings.attempts)))
        self._channel = self._open(options)
        infer: grpc.aio.UnaryUnaryMultiCallable = GRPCInferenceServiceStub(self._channel).ModelInfer
        return infer

    def _open(self, options: list[tuple[str, str | int]]) -> aio.Channel:
        settings = self._settings
        options = [
            ("grpc.dns_min_time_between_resolutions_ms", 250),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.enable_http_proxy", 0),
            *options,
        ]
        if settings.use_ssl:
            return aio.secure_channel(settings.target, grpc.ssl_channel_credentials(), options)
        return aio.insecure_channel(settings.target, options)

    async def wake(self) -> None:
        """Make the predictor start, where it is scaled to zero, before the first request needs it.

        Whoever wakes the transformer is about to need both, and their starts would else follow
        each other. Once, whatever becomes of it: it is a favour, not a check.
        """
        if self._woken:
            return
        self._woken = True
        # A channel of its own: while one that was refused pauses, its calls fail at once, and the
        # first request should find the predictor in the moment it is there.
        channel = self._open([("grpc.use_local_subchannel_pool", 1)])
        try:
            with contextlib.suppress(aio.AioRpcError):
                await GRPCInferenceServiceStub(channel).ServerLive(
                    pb.ServerLiveRequest(),
                    timeout=self._settings.timeout_seconds,
                    wait_for_ready=True,
                )
        finally:
            await channel.close()

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[NDArray[Any], Answered]:
        """Send a batch ``(n, c, h, w)``; get the first output ``(n, …)`` and who answered.

        Raises:
            ServingError: the class that fits the predictor's status; its text is shown only if
                the predictor is one of ours, for anybody else's may name internal addresses.
        """
        if self._infer is None:
            self._infer = self._connect()
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
        if request.ByteSize() > self._settings.max_message_bytes:
            raise TooLarge(f"{sent[0]} instances are too large for one call to the predictor")
        metadata = [
            (name, headers[name])
            for name in FORWARDED
            if FORWARDABLE.fullmatch(headers.get(name, ""))
        ]
        try:
            response = await self._infer(
                request, timeout=self._settings.timeout_seconds, metadata=metadata
            )
        except aio.AioRpcError as error:
            raise _shown(error) from None
        return _read_response(response, contract, sent)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close(grace=1.0)


def _retry_config(attempts: int) -> str:
    return json.dumps(
        {
            "methodConfig": [
                {
                    "name": [{"service": "inference.GRPCInferenceService"}],
                    "retryPolicy": {
                        "maxAttempts": attempts,
                        "initialBackoff": "0.05s",
                        "maxBackoff": "0.5s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ]
        }
    )


def _shown(error: aio.AioRpcError) -> ServingError:
    kind, text = _BY_STATUS.get(error.code(), (BadPredictorAnswer, "the predictor failed"))
    code = None
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_CODE:
            code = str(value)
            text = error.details() or text
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
