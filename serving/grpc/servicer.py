"""The gRPC edge: KServe's v2 service without its open model repository."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol, cast

from grpc import StatusCode
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer

from serving.admission import Admission
from serving.errors import Internal, ServingError
from serving.grpc.listener import GrpcListener
from serving.grpc.messages import ERROR_CODE
from serving.grpc.server import Method, Service
from serving.http import failures, shown_error
from serving.metrics import TALLY
from serving.model import Answered
from serving.settings import ServerSettings

logger = logging.getLogger("serving.grpc")


class GrpcModel(Protocol):
    """What the gRPC edge needs of a model beyond KServe's own interface."""

    def require_ready(self) -> None: ...

    def read_grpc(self, request: pb.ModelInferRequest) -> Any: ...

    def write_grpc(self, answer: Any) -> pb.ModelInferResponse: ...


class Servicer(InferenceServicer):
    """Every method's errors are rendered alike; ``ModelInfer`` goes to the model directly."""

    def __init__(self, data_plane: Any, repository: Any, admission: Admission) -> None:
        super().__init__(data_plane, repository)
        self._admission = admission

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> Any:
        started = time.perf_counter()
        known = revision = ""
        code = StatusCode.OK
        size_bytes = request.ByteSize()
        admitted = False
        try:
            model = await self._data_plane.get_model(request.model_name)
            known = request.model_name
            served = cast(GrpcModel, model)
            served.require_ready()
            self._admission.enter(size_bytes)
            admitted = True
            headers = dict(context.invocation_metadata())
            answer, _ = await model(served.read_grpc(request), headers)
            answered = cast(Answered, answer.answered)
            revision = answered.revision
            response = served.write_grpc(answer)
            elapsed = time.perf_counter() - started
            TALLY.count_answer(known, revision, "grpc", elapsed, answered.instances)
            return response
        except Exception as error:
            code = shown_error(error).grpc_status
            await refuse(context, error, "ModelInfer")
        finally:
            if admitted:
                self._admission.leave(size_bytes, code is StatusCode.OK)
            TALLY.count_request(known, revision, "grpc", code.name)

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
    unexpected = isinstance(shown, Internal)
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


class BoundGRPCServer(GRPCServer):
    """KServe's gRPC server with ``Servicer``, on a chosen address and on ``serving.http2``."""

    def __init__(self, settings: ServerSettings, admission: Admission, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._settings = settings
        self._admission = admission

    async def start(self, max_workers: int) -> None:
        servicer = Servicer(self._data_plane, self._model_repository_extension, self._admission)
        service = Service(
            methods_of(servicer),
            self._kwargs["grpc_max_receive_message_length"],
            self._kwargs["grpc_max_send_message_length"],
            self._settings.queue_bytes,
        )
        self._server = GrpcListener(service, self._settings.host, self._port)
        await self._server.start()
        await self._server.wait()


def methods_of(servicer: Servicer) -> dict[str, Method]:
    """All methods of KServe's service, by path."""
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    return {
        f"/{service.full_name}/{method.name}": Method(
            getattr(pb, method.input_type.name).FromString, getattr(servicer, method.name)
        )
        for method in service.methods
    }
