"""The gRPC edge: KServe's v2 service on ``grpc.aio``, without its open model repository.

For callers from outside; the transformer asks the predictor over HTTP. Off unless it is asked for
(``--enable_grpc=true``), for then it has a port of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

from grpc import StatusCode, aio, ssl_server_credentials
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.errors import ERROR_CODE, InternalError, ServingError
from serving.metrics import TALLY, Sizes
from serving.model import Answered
from serving.rendering import failures, shown_error
from serving.scheduling.admission import Admission
from serving.settings import ServerSettings
from serving.spans import trace_id_of
from serving.tracing import REQUEST_ID_KEY, TRACING

IDENTITY_ONLY = 1
"""gRPC's bit set of compressions: what a client compresses would be inflated before it is counted,
and tensors gain nothing by it."""

PROTOCOL, ROUTE = "grpc", "ModelInfer"
"""That calls are counted by."""

logger = logging.getLogger("serving.grpc")


class GrpcModel(Protocol):
    """What the gRPC edge needs of a model beyond KServe's own interface."""

    def require_ready(self) -> None: ...

    async def answer(self, payload: Any, headers: Mapping[str, str]) -> Any: ...

    def read_grpc(self, request: pb.ModelInferRequest) -> Any: ...

    def write_grpc(self, answer: Any) -> pb.ModelInferResponse: ...


class Servicer(InferenceServicer):
    """Every method's errors are rendered alike; ``ModelInfer`` keeps raw tensors raw."""

    def __init__(
        self, data_plane: DataPlane, repository: ModelRepositoryExtension, admission: Admission
    ) -> None:
        super().__init__(data_plane, repository)
        self._models = data_plane
        self._admission = admission

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> Any:
        started = time.perf_counter()
        known = ""
        answered: Answered | None = None
        span = None
        size_bytes = request.ByteSize()
        admitted = False
        try:
            model = await self._models.get_model(request.model_name)
            known = request.model_name
            served = cast(GrpcModel, model)
            served.require_ready()
            self._admission.enter(size_bytes)
            admitted = True
            headers = dict(context.invocation_metadata())
            named = {"vision.model": known, REQUEST_ID_KEY: headers.get("x-request-id", "")}
            span = TRACING.begin(ROUTE, headers, lambda: named)
            answer = await served.answer(served.read_grpc(request), headers)
            response = served.write_grpc(answer)
            answered = cast(Answered, answer.answered)
            elapsed = time.perf_counter() - started
            sizes = Sizes(answered.instances, size_bytes, response.ByteSize())
            code, revision = StatusCode.OK.name, answered.revision
            trace_id = trace_id_of(span)
            TALLY.count_answer(known, revision, PROTOCOL, ROUTE, code, elapsed, sizes, trace_id)
            if span is not None:
                TRACING.end(span, {"vision.revision": revision})
            return response
        except Exception as error:
            shown = shown_error(error)
            TALLY.count_failure(known, PROTOCOL, ROUTE, shown.grpc_status.name, shown.reason)
            if span is not None:
                failed = isinstance(shown, InternalError)
                TRACING.end(span, {"error.type": shown.error_code}, failed)
            await refuse(context, error, ROUTE)
        finally:
            if admitted:
                self._admission.leave(size_bytes, answered is not None)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return await self._guarded("ModelReady", request, context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._guarded("ModelMetadata", request, context)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return await self._guarded("ServerReady", request, context)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        return await self._guarded("RepositoryModelLoad", request, context)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        return await self._guarded("RepositoryModelUnload", request, context)

    async def _guarded(self, method: str, request: Any, context: Any) -> Any:
        try:
            return await getattr(InferenceServicer, method)(self, request, context)
        except Exception as error:
            await refuse(context, error, method)


async def refuse(context: Any, error: Exception, method: str) -> None:
    """End the call with the error's status; the text of an unexpected one stays here."""
    shown: ServingError = shown_error(error)
    unexpected = isinstance(shown, InternalError)
    left_out = failures.count(shown.error_code)
    if left_out is not None:
        logger.log(
            logging.ERROR if unexpected else logging.WARNING,
            "unexpected error" if unexpected else shown.message,
            exc_info=error if unexpected else None,
            extra={
                "method": method,
                "code": shown.error_code,
                "status": shown.grpc_status.name,
                "left_out": left_out or None,
            },
        )
    context.set_trailing_metadata(((ERROR_CODE, shown.error_code),))
    await context.abort(shown.grpc_status, shown.message)


class GrpcServer:
    """Listens for calls on an address of its own.

    Args:
        max_threads: of gRPC itself, as KServe's argument says.
        max_received, max_sent: bytes of one message.
        tls: private key and certificate chain, PEM; None for plain connections.
    """

    def __init__(
        self,
        servicer: Servicer,
        settings: ServerSettings,
        port: int,
        *,
        max_threads: int,
        max_received: int,
        max_sent: int,
        tls: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._servicer = servicer
        self._settings = settings
        self._port = port
        self._max_threads = max_threads
        self._max_received = max_received
        self._max_sent = max_sent
        self._tls = tls
        self._server: aio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; known after ``start`` where the system was to choose."""
        return self._port

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: the address is taken.
        """
        self._server = aio.server(
            ThreadPoolExecutor(self._max_threads),
            options=[
                ("grpc.max_receive_message_length", self._max_received),
                ("grpc.max_send_message_length", self._max_sent),
                ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=self._settings.queue_requests,
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        host = self._settings.host
        address = f"[{host}]" if ":" in host else host
        address = f"{address}:{self._port}"
        if self._tls is None:
            self._port = self._server.add_insecure_port(address)
        else:
            credentials = ssl_server_credentials([self._tls])
            self._port = self._server.add_secure_port(address, credentials)
        await self._server.start()

    async def serve(self) -> None:
        """Listen until ``stop`` has ended."""
        await self.start()
        assert self._server is not None
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Take no more calls, and let those in flight finish while there is grace."""
        if self._server is not None:
            await self._server.stop(self._settings.grace_seconds)
