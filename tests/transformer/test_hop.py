from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

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
from serving.grpc.messages import ERROR_CODE
from serving.model import Answered
from tests.conftest import make_contract
from transformer.hop import CONTRACT_DIGEST, HopSettings, PredictorHop

CONTRACT = make_contract()
BATCH = np.arange(2 * 28 * 28, dtype=np.float32).reshape(2, 1, 28, 28)
ROWS = np.linspace(0, 1, 20, dtype=np.float32).reshape(2, 10)
SECRET = "ipv4:10.0.0.7:8081: stack trace"

Script = Callable[[pb.ModelInferRequest, Any], Awaitable[pb.ModelInferResponse]]


def response(
    name: str = "probabilities",
    datatype: str = "FP32",
    shape: Sequence[int] = (2, 10),
    raw: Sequence[bytes] = (ROWS.tobytes(),),
) -> pb.ModelInferResponse:
    tensor = pb.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=shape)
    return pb.ModelInferResponse(
        model_name="mnist",
        model_version="7",
        parameters={"model_digest": pb.InferParameter(string_param="sha256:abc")},
        outputs=[tensor],
        raw_output_contents=raw,
    )


async def answer(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
    return response()


def answering(value: pb.ModelInferResponse) -> Script:
    async def script(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        return value

    return script


def failing(status: StatusCode, text: str = SECRET, code: str | None = None) -> Script:
    async def script(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        if code is not None:
            context.set_trailing_metadata(((ERROR_CODE, code),))
        await context.abort(status, text)
        raise AssertionError

    return script


@dataclass
class Predictor(GRPCInferenceServiceServicer):
    """A predictor that does what it is told and remembers what it was asked."""

    script: Script = answer
    port: int = 0
    requests: list[pb.ModelInferRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    server: aio.Server | None = None
    woken: int = 0

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return await self.script(request, context)

    async def ServerLive(self, request: Any, context: Any) -> Any:
        self.woken += 1
        return pb.ServerLiveResponse(live=True)

    async def start(self) -> None:
        self.server = aio.server(options=[("grpc.so_reuseport", 0)])
        add_GRPCInferenceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(None)
            self.server = None


Connect = Callable[..., PredictorHop]


@pytest_asyncio.fixture
async def predictor() -> AsyncIterator[Predictor]:
    found = Predictor()
    await found.start()
    yield found
    await found.stop()


@pytest_asyncio.fixture
async def connect(predictor: Predictor) -> AsyncIterator[Connect]:
    hops: list[PredictorHop] = []

    def build(**changes: Any) -> PredictorHop:
        values: dict[str, Any] = {
            "target": f"127.0.0.1:{predictor.port}",
            "timeout_seconds": 5.0,
            "attempts": 1,
            "max_message_bytes": 1 << 20,
        }
        hops.append(PredictorHop(HopSettings(**{**values, **changes})))
        return hops[-1]

    yield build
    for hop in hops:
        await hop.close()


async def infer(hop: PredictorHop, **headers: str) -> tuple[Any, Answered]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await hop.infer("mnist", CONTRACT, BATCH, named)


async def refused(hop: PredictorHop, kind: type[ServingError], **headers: str) -> ServingError:
    with pytest.raises(ServingError) as caught:
        await infer(hop, **headers)
    assert type(caught.value) is kind
    return caught.value


async def test_the_answer_is_the_first_output_and_who_gave_it(connect: Connect) -> None:
    outputs, answered = await infer(connect())
    assert outputs.dtype == np.float32
    assert outputs.tolist() == ROWS.tolist()
    assert answered == Answered("7", "sha256:abc", 2)


async def test_the_request_carries_raw_bytes_and_the_contract(
    predictor: Predictor, connect: Connect
) -> None:
    await infer(connect(), x_request_id="abc-1")
    (request,) = predictor.requests
    assert (request.model_name, request.id) == ("mnist", "abc-1")
    assert request.parameters[CONTRACT_DIGEST].string_param == CONTRACT.digest
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype) == ("image", "FP32")
    assert list(tensor.shape) == [2, 1, 28, 28]
    assert not tensor.HasField("contents")
    assert list(request.raw_input_contents) == [BATCH.tobytes()]


async def test_a_batch_that_is_not_contiguous_is_sent_in_order(
    predictor: Predictor, connect: Connect
) -> None:
    turned = np.ascontiguousarray(BATCH.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    await connect().infer("mnist", CONTRACT, turned, {})
    assert list(predictor.requests[0].raw_input_contents) == [BATCH.tobytes()]


async def test_only_tracing_headers_go_on(predictor: Predictor, connect: Connect) -> None:
    tracing = {
        "x-request-id": "abc-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "x-b3-traceid": "80f198ee56343ba8",
    }
    private = {
        "authorization": "Bearer key",
        "cookie": "session=1",
        "x-api-key": "key",
        "host": "public.example",
        "content-type": "image/png",
        "content-length": "3",
    }
    await connect().infer("mnist", CONTRACT, BATCH, {**tracing, **private})
    (metadata,) = predictor.metadata
    assert {name: metadata[name] for name in tracing} == tracing
    assert not {"authorization", "cookie", "x-api-key", "host"} & set(metadata)
    assert "key" not in " ".join(map(str, metadata.values()))
    assert metadata.get("content-type") != "image/png"


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "x_b3_traceid"])
@pytest.mark.parametrize("value", ["é", "a\x01b", "a\tb", "", " a ", "\x7f"])
async def test_an_odd_tracing_header_does_not_fail_the_request(
    connect: Connect, name: str, value: str
) -> None:
    _, answered = await infer(connect(), **{name: value})
    assert answered.revision == "7"


CLASSES: dict[StatusCode, type[ServingError]] = {
    StatusCode.INVALID_ARGUMENT: MalformedRequest,
    StatusCode.FAILED_PRECONDITION: MalformedRequest,
    StatusCode.NOT_FOUND: UnknownModel,
    StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


@pytest.mark.parametrize("status", [code for code in StatusCode if code is not StatusCode.OK])
async def test_every_status_has_its_error_and_a_foreign_text_stays_inside(
    status: StatusCode, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(status)
    error = await refused(connect(), CLASSES.get(status, BadPredictorAnswer))
    assert SECRET not in error.message
    assert "10.0.0.7" not in str(error.as_json())
    assert error.error_code == type(error).code
    assert error.__suppress_context__


async def test_our_own_text_and_code_are_shown(predictor: Predictor, connect: Connect) -> None:
    predictor.script = failing(StatusCode.INVALID_ARGUMENT, "a value is not finite", "some_code")
    error = await refused(connect(), MalformedRequest)
    assert error.as_json() == {"error": "a value is not finite", "code": "some_code"}


async def test_our_own_error_without_a_text_keeps_the_general_one(
    predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(StatusCode.UNAVAILABLE, "", "unavailable")
    error = await refused(connect(), Unavailable)
    assert error.message == "the predictor cannot be reached"


async def test_a_refused_contract_is_told_apart(predictor: Predictor, connect: Connect) -> None:
    predictor.script = failing(StatusCode.INVALID_ARGUMENT, "wrong shape", ContractRefused.code)
    error = await refused(connect(), ContractRefused)
    assert (error.status, error.message) == (400, "wrong shape")


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_unavailable_is_tried_so_often_and_no_more(
    attempts: int, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(StatusCode.UNAVAILABLE)
    await refused(connect(attempts=attempts), Unavailable)
    assert len(predictor.requests) == attempts


@pytest.mark.parametrize(
    "status", [c for c in StatusCode if c not in (StatusCode.OK, StatusCode.UNAVAILABLE)]
)
async def test_nothing_else_is_tried_again(
    status: StatusCode, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(status)
    await refused(connect(attempts=5), CLASSES.get(status, BadPredictorAnswer))
    assert len(predictor.requests) == 1


async def test_a_retry_that_is_answered_is_an_answer(
    predictor: Predictor, connect: Connect
) -> None:
    async def second_time(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        if len(predictor.requests) == 1:
            await context.abort(StatusCode.UNAVAILABLE, SECRET)
        return response()

    predictor.script = second_time
    outputs, _ = await infer(connect(attempts=2))
    assert outputs.tolist() == ROWS.tolist()
    assert predictor.requests[0] == predictor.requests[1]


async def test_a_silent_predictor_is_given_up_in_time(
    predictor: Predictor, connect: Connect
) -> None:
    async def silent(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        await asyncio.sleep(30)
        return response()

    predictor.script = silent
    started = time.perf_counter()
    error = await refused(connect(timeout_seconds=0.2, attempts=3), DeadlineExceeded)
    assert 0.15 < time.perf_counter() - started < 1.5
    assert error.status == 504
    assert len(predictor.requests) == 1


async def test_a_predictor_that_is_not_there(predictor: Predictor, connect: Connect) -> None:
    await predictor.stop()
    for attempts in (1, 3):
        started = time.perf_counter()
        error = await refused(connect(attempts=attempts), Unavailable)
        assert time.perf_counter() - started < 2
        assert error.as_json() == {
            "error": "the predictor cannot be reached",
            "code": "unavailable",
        }


@pytest.mark.parametrize("gone_seconds", [0.0, 1.0])
async def test_a_predictor_that_returns_is_found_within_two_seconds(
    gone_seconds: float, predictor: Predictor, connect: Connect
) -> None:
    hop = connect()
    await infer(hop)
    await predictor.stop()
    await refused(hop, Unavailable)
    gone_until = time.perf_counter() + gone_seconds
    while time.perf_counter() < gone_until:
        await refused(hop, Unavailable)
        await asyncio.sleep(0.05)
    await predictor.start()
    back = time.perf_counter()
    while True:
        try:
            outputs, _ = await infer(hop)
            break
        except Unavailable:
            assert time.perf_counter() - back < 2
            await asyncio.sleep(0.02)
    assert outputs.tolist() == ROWS.tolist()


async def test_concurrent_calls_get_their_own_answers(
    predictor: Predictor, connect: Connect
) -> None:
    async def echo(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        first = np.frombuffer(request.raw_input_contents[0], np.float32)[0]
        await asyncio.sleep(0.01 * (int(first) % 3))
        return response(shape=(1, 10), raw=[np.full(10, first, np.float32).tobytes()])

    predictor.script = echo
    hop = connect()

    async def call(number: int) -> list[float]:
        batch = np.full((1, 1, 28, 28), number, np.float32)
        outputs, _ = await hop.infer("mnist", CONTRACT, batch, {})
        found: list[float] = outputs[0].tolist()
        return found

    found = await asyncio.gather(*(call(number) for number in range(100)))
    assert found == [[float(number)] * 10 for number in range(100)]


MALFORMED = {
    "nothing": pb.ModelInferResponse(),
    "another name": response(name="logits"),
    "another type": response(datatype="FP64"),
    "too few rows": response(shape=(1, 10), raw=[bytes(40)]),
    "too many rows": response(shape=(3, 10), raw=[bytes(120)]),
    "no shape": response(shape=(), raw=[bytes(4)]),
    "no bytes": response(raw=[]),
    "two tensors of bytes": response(raw=[ROWS.tobytes()] * 2),
    "bytes cut off": response(raw=[ROWS.tobytes()[:-1]]),
    "too many bytes": response(raw=[ROWS.tobytes() + bytes(4)]),
    "not a number": response(raw=[np.full_like(ROWS, np.nan).tobytes()]),
    "infinite": response(raw=[np.full_like(ROWS, np.inf).tobytes()]),
    "a negative size": response(shape=(2, -10)),
    "negative sizes": response(shape=(2, -2, -5)),
    "an overflowing size": response(shape=(2, 2**62, 2), raw=[b""]),
    "too many axes": response(shape=(2, *[1] * 70), raw=[bytes(8)]),
}


@pytest.mark.parametrize("fault", MALFORMED)
async def test_a_malformed_answer_is_a_bad_gateway(
    fault: str, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = answering(MALFORMED[fault])
    error = await refused(connect(), BadPredictorAnswer)
    assert error.status == 502


async def test_a_request_that_is_too_large_is_never_sent(
    predictor: Predictor, connect: Connect
) -> None:
    error = await refused(connect(max_message_bytes=BATCH.nbytes), TooLarge)
    assert error.status == 413
    assert "2 instances" in error.message
    assert predictor.requests == []
    await infer(connect(max_message_bytes=BATCH.nbytes + 1000))
    assert len(predictor.requests) == 1


async def test_closing_an_unused_hop_is_harmless(connect: Connect) -> None:
    await connect().close()


async def test_the_predictor_is_woken_once(connect: Connect, predictor: Predictor) -> None:
    hop = connect()
    await hop.wake()
    await hop.wake()
    assert predictor.woken == 1
    assert (await infer(hop))[1].revision == "7"


async def test_a_predictor_that_is_not_there_yet_is_waited_for(
    connect: Connect, predictor: Predictor
) -> None:
    hop = connect()
    await predictor.stop()
    waking = asyncio.create_task(hop.wake())
    await asyncio.sleep(0.2)
    await predictor.start()
    await asyncio.wait_for(waking, 5)
    assert predictor.woken == 1


async def test_a_predictor_that_never_wakes_is_no_error(
    connect: Connect, predictor: Predictor
) -> None:
    await predictor.stop()
    await connect(timeout_seconds=0.1).wake()


@pytest.mark.parametrize("text", ["3\r\nset-cookie: a", "3 4", "é", "7" * 300])
async def test_a_revision_that_cannot_be_a_header(
    connect: Connect, predictor: Predictor, text: str
) -> None:
    value = response()
    value.model_version = text
    predictor.script = answering(value)
    await refused(connect(), BadPredictorAnswer)
