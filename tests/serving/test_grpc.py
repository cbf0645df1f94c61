from __future__ import annotations

import logging
from typing import Any, NoReturn

import pytest
from grpc import StatusCode
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from serving.errors import ERROR_CODE, InternalError, OverloadedError
from serving.grpc import Servicer
from serving.scheduling.admission import Admission
from serving.server import ClosedDataPlane, ClosedRepository
from tests.serving.fake import SumModel, repository, sample


class AbortedError(Exception):
    """What ``grpc.aio`` raises in ``abort``, so that nothing runs after it."""


class Context:
    """As much of a ``grpc.aio.ServicerContext`` as the edge uses."""

    def __init__(self) -> None:
        self.status: StatusCode | None = None
        self.details = ""
        self.trailing: tuple[tuple[str, str], ...] = ()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", "abc"),)

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.trailing = metadata

    async def abort(self, status: StatusCode, details: str) -> NoReturn:
        self.status, self.details = status, details
        raise AbortedError


@pytest.fixture
def model() -> SumModel:
    return SumModel()


@pytest.fixture
def servicer(model: SumModel) -> Servicer:
    models = repository(model)
    return Servicer(
        ClosedDataPlane(model_registry=models),
        ClosedRepository(models),
        Admission(max_requests=2, max_bytes=1000, wait_seconds=1),
    )


def request_for(name: str = "sum") -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[2])
    tensor.contents.fp32_contents.extend([1, 2])
    return pb.ModelInferRequest(model_name=name, inputs=[tensor])


async def refused(method: Any, request: Any) -> Context:
    context = Context()
    with pytest.raises(AbortedError):
        await method(request, context)
    return context


def counted(code: str, model: str = "sum", revision: str = "") -> float:
    labels = {"model_name": model, "revision": revision, "protocol": "grpc", "code": code}
    return sample("vision_requests_total", **labels, route="ModelInfer")


async def test_infer(servicer: Servicer, model: SumModel) -> None:
    before = counted("OK", revision="3")
    response = await servicer.ModelInfer(request_for(), Context())
    assert (response.model_name, response.model_version) == ("sum", "3")
    assert model.headers == [{"x-request-id": "abc"}]
    assert counted("OK", revision="3") - before == 1


async def test_an_unknown_model(servicer: Servicer) -> None:
    before = counted("NOT_FOUND", model="")
    context = await refused(servicer.ModelInfer, request_for("made-up"))
    assert context.status is StatusCode.NOT_FOUND
    assert context.trailing == ((ERROR_CODE, "unknown_model"),)
    assert counted("NOT_FOUND", model="") - before == 1
    assert counted("NOT_FOUND", model="made-up") == 0


async def test_a_model_that_is_not_ready(servicer: Servicer, model: SumModel) -> None:
    model.ready = False
    context = await refused(servicer.ModelInfer, request_for())
    assert (context.status, context.details) == (StatusCode.UNAVAILABLE, "model sum is not ready")


async def test_a_models_error_keeps_its_status(servicer: Servicer, model: SumModel) -> None:
    model.fault = OverloadedError("busy", code="queue_full")
    before = counted("RESOURCE_EXHAUSTED")
    context = await refused(servicer.ModelInfer, request_for())
    assert (context.status, context.details) == (StatusCode.RESOURCE_EXHAUSTED, "busy")
    assert context.trailing == ((ERROR_CODE, "queue_full"),)
    assert counted("RESOURCE_EXHAUSTED") - before == 1


async def test_the_text_of_an_unexpected_exception_stays_here(
    servicer: Servicer, model: SumModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.fault = RuntimeError("postgres://root:hunter2@10.0.0.7")
    context = await refused(servicer.ModelInfer, request_for())
    assert (context.status, context.details) == (StatusCode.INTERNAL, InternalError().message)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


async def test_a_clients_mistake_is_a_warning(
    servicer: Servicer, caplog: pytest.LogCaptureFixture
) -> None:
    await refused(servicer.ModelInfer, request_for("made-up"))
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)


@pytest.mark.parametrize("kind", ["Load", "Unload"])
async def test_the_repository_is_closed(servicer: Servicer, model: SumModel, kind: str) -> None:
    request = getattr(pb, f"RepositoryModel{kind}Request")(model_name="sum")
    context = await refused(getattr(servicer, f"RepositoryModel{kind}"), request)
    assert context.status is StatusCode.PERMISSION_DENIED
    assert context.trailing == ((ERROR_CODE, "forbidden"),)
    assert model.ready


async def test_readiness(servicer: Servicer, model: SumModel) -> None:
    assert (await servicer.ServerReady(pb.ServerReadyRequest(), Context())).ready
    assert (await servicer.ModelReady(pb.ModelReadyRequest(name="sum"), Context())).ready
    model.ready = False
    assert not (await servicer.ServerReady(pb.ServerReadyRequest(), Context())).ready
    assert not (await servicer.ModelReady(pb.ModelReadyRequest(name="sum"), Context())).ready
    context = await refused(servicer.ModelReady, pb.ModelReadyRequest(name="nobody"))
    assert context.status is StatusCode.NOT_FOUND


async def test_more_calls_than_there_is_room_for(servicer: Servicer, model: SumModel) -> None:
    before = counted("RESOURCE_EXHAUSTED")
    servicer._admission.enter(1)
    servicer._admission.enter(1)
    context = await refused(servicer.ModelInfer, request_for())
    assert context.status is StatusCode.RESOURCE_EXHAUSTED
    assert context.trailing == ((ERROR_CODE, "overloaded"),)
    assert counted("RESOURCE_EXHAUSTED") - before == 1
    servicer._admission.leave(1, answered=True)
    await servicer.ModelInfer(request_for(), Context())
    model.fault = OverloadedError("no")
    await refused(servicer.ModelInfer, request_for())
    assert servicer._admission.requests == 1
