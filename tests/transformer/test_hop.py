from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from common.routes import REQUEST_ID
from serving.errors import (
    ERROR_CODE,
    BadPredictorAnswerError,
    ContractRefusedError,
    DeadlineExceededError,
    MalformedRequestError,
    ModelNotFoundError,
    OverloadedError,
    ServingError,
    TooLargeError,
    UnavailableError,
)
from serving.model import Answered, HttpRequest
from serving.v2 import JSON_LENGTH, InferRequest, read_infer_request
from tests.conftest import make_contract
from transformer.hop import CONTRACT_DIGEST, ClientSettings, PredictorClient, headers_of_all

CONTRACT = make_contract()
BATCH = np.arange(2 * 28 * 28, dtype=np.float32).reshape(2, 1, 28, 28)
ROWS = np.linspace(0, 1, 20, dtype=np.float32).reshape(2, 10)
SECRET = "ipv4:10.0.0.7:8081: stack trace"
INFER = "/v2/models/mnist/infer"

Script = Callable[[InferRequest], Awaitable[web.StreamResponse]]


def described(**changes: Any) -> dict[str, Any]:
    """An output as the protocol describes it."""
    return {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 10],
        "parameters": {"binary_data_size": ROWS.nbytes},
        **changes,
    }


def response(
    raw: bytes = ROWS.tobytes(),
    outputs: Any = None,
    length: str | None = None,
    headers: Mapping[str, str] | None = None,
    **changes: Any,
) -> web.Response:
    document = {
        "model_name": "mnist",
        "model_version": "7",
        "parameters": {"model_digest": "sha256:abc"},
        "outputs": [described()] if outputs is None else outputs,
        **changes,
    }
    head = orjson.dumps(document)
    declared = str(len(head)) if length is None else length
    return web.Response(body=head + raw, headers={JSON_LENGTH: declared, **(headers or {})})


async def answer(request: InferRequest) -> web.StreamResponse:
    return response()


def answering(build: Callable[[], web.StreamResponse]) -> Script:
    async def script(request: InferRequest) -> web.StreamResponse:
        return build()

    return script


def failing(status: int, text: str = SECRET, code: str | None = None) -> Script:
    def build() -> web.StreamResponse:
        document = {"error": text} if code is None else {"error": text, "code": code}
        headers = {} if code is None else {ERROR_CODE: code}
        return web.json_response(document, status=status, headers=headers)

    return answering(build)


@dataclass
class Predictor:
    """A predictor that does what it is told and remembers what it was asked."""

    script: Script = answer
    port: int = 0
    requests: list[InferRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    runner: web.AppRunner | None = None
    woken: int = 0
    woken_status: int = 200
    keep_alive_seconds: float = 60.0
    connections: set[object] = field(default_factory=set)
    last: web.Request = field(init=False)

    async def infer(self, request: web.Request) -> web.StreamResponse:
        self.last = request
        self.connections.add(request.transport)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.headers.append(headers)
        self.requests.append(read_infer_request(HttpRequest(await request.read(), headers)))
        return await self.script(self.requests[-1])

    async def ready(self, request: web.Request) -> web.Response:
        self.woken += 1
        return web.Response(status=self.woken_status)

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post(INFER, self.infer)
        app.router.add_get("/v2/health/ready", self.ready)
        self.runner = web.AppRunner(
            app, keepalive_timeout=self.keep_alive_seconds, shutdown_timeout=0.01
        )
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None


Connect = Callable[..., PredictorClient]


@pytest_asyncio.fixture
async def predictor() -> AsyncIterator[Predictor]:
    found = Predictor()
    await found.start()
    yield found
    await found.stop()


@pytest_asyncio.fixture
async def connect(predictor: Predictor) -> AsyncIterator[Connect]:
    hops: list[PredictorClient] = []

    def build(**changes: Any) -> PredictorClient:
        values: dict[str, Any] = {
            "target": f"127.0.0.1:{predictor.port}",
            # Not what a busy machine needs: tests of the limit itself say less.
            "timeout_seconds": 60.0,
            "attempts": 1,
            "max_message_bytes": 1 << 20,
        }
        hops.append(PredictorClient(ClientSettings(**{**values, **changes})))
        return hops[-1]

    yield build
    for hop in hops:
        await hop.close()


async def infer(hop: PredictorClient, **headers: str) -> tuple[Any, Answered]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await hop.infer("mnist", CONTRACT, BATCH, named)


async def refused(hop: PredictorClient, kind: type[ServingError], **headers: str) -> ServingError:
    with pytest.raises(ServingError) as caught:
        await infer(hop, **headers)
    assert type(caught.value) is kind
    return caught.value


async def test_the_answer_is_the_outputs_and_who_gave_them(connect: Connect) -> None:
    (outputs,), answered = await infer(connect())
    assert outputs.dtype == np.float32
    assert outputs.tolist() == ROWS.tolist()
    assert answered == Answered("7", "sha256:abc", 2)


@pytest.mark.parametrize(("said", "read"), [(3, 3), (0, 0), (-1, 0), ("3", 0), (None, 0)])
async def test_the_answer_says_how_many_are_computed_together(
    said: Any, read: int, predictor: Predictor, connect: Connect
) -> None:
    parameters = {"model_digest": "sha256:abc", "batch_instances": said}
    predictor.script = answering(lambda: response(parameters=parameters))
    _, answered = await infer(connect())
    assert answered.batch_instances == read


async def test_several_outputs_come_in_the_order_of_the_contract(
    predictor: Predictor, connect: Connect
) -> None:
    contract = replace(CONTRACT, outputs=("probabilities", "logits"))
    logits = np.arange(20, dtype=np.float32).reshape(2, 10)
    both = [described(), described(name="logits")]
    predictor.script = answering(lambda: response(ROWS.tobytes() + logits.tobytes(), both))
    found, _ = await connect().infer("mnist", contract, BATCH, {})
    assert [rows.tolist() for rows in found] == [ROWS.tolist(), logits.tolist()]
    assert [output.name for output in predictor.requests[0].outputs] == list(contract.outputs)


@pytest.mark.parametrize("fault", ["order", "missing", "rows", "infinite", "cut off"])
async def test_one_wrong_output_of_several_is_a_bad_answer(
    fault: str, predictor: Predictor, connect: Connect
) -> None:
    contract = replace(CONTRACT, outputs=("probabilities", "logits"))
    outputs, raw = [described(), described(name="logits")], 2 * ROWS.tobytes()
    if fault == "order":
        outputs.reverse()
    elif fault == "missing":
        outputs.pop()
    elif fault == "rows":
        outputs[1] |= {"shape": [1, 20]}
    elif fault == "infinite":
        raw = ROWS.tobytes() + np.full_like(ROWS, np.inf).tobytes()
    else:
        raw = raw[:-4]
    predictor.script = answering(lambda: response(raw, outputs))
    with pytest.raises(BadPredictorAnswerError):
        await connect().infer("mnist", contract, BATCH, {})


async def test_the_request_carries_raw_bytes_and_the_contract(
    predictor: Predictor, connect: Connect
) -> None:
    await infer(connect(), x_request_id="abc-1")
    (request,) = predictor.requests
    assert request.parameters == {CONTRACT_DIGEST: CONTRACT.digest}
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype) == ("image", "FP32")
    assert tensor.shape == (2, 1, 28, 28)
    assert bytes(tensor.data) == BATCH.tobytes()
    (output,) = request.outputs
    assert (output.name, output.binary) == ("probabilities", True)
    assert predictor.headers[0]["x-request-id"] == "abc-1"


async def test_a_batch_that_is_not_contiguous_is_sent_in_order(
    predictor: Predictor, connect: Connect
) -> None:
    turned = np.ascontiguousarray(BATCH.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    await connect().infer("mnist", CONTRACT, turned, {})
    assert bytes(predictor.requests[0].inputs[0].data) == BATCH.tobytes()


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
    (headers,) = predictor.headers
    assert {name: headers[name] for name in tracing} == tracing
    own = {"host", "content-type", "content-length", JSON_LENGTH}
    assert set(headers) == {*tracing, *own}
    assert headers["host"] == f"127.0.0.1:{predictor.port}"
    assert headers["content-type"] == "application/octet-stream"


async def test_a_gateway_is_told_the_host_that_it_routes_by(
    predictor: Predictor, connect: Connect
) -> None:
    await infer(connect(authority="latest-vision-predictor.vision.svc.cluster.local"))
    assert predictor.headers[0]["host"] == "latest-vision-predictor.vision.svc.cluster.local"


async def test_calls_one_after_the_other_share_a_connection(
    predictor: Predictor, connect: Connect
) -> None:
    hop = connect()
    for _ in range(5):
        await infer(hop)
    assert len(predictor.connections) == 1


async def test_a_server_that_closes_idle_connections_fails_no_call(
    predictor: Predictor, connect: Connect
) -> None:
    """However the end of a connection and the next call meet, the call is made once more."""
    await predictor.stop()
    predictor.keep_alive_seconds = 0.05
    await predictor.start()
    hop = connect(attempts=3)
    for pause in np.linspace(0.04, 0.06, 20):
        await infer(hop)
        await asyncio.sleep(pause)
    assert len(predictor.connections) > 1


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "x_b3_traceid"])
@pytest.mark.parametrize("value", ["é", "a\x01b", "a\tb", "", " a ", "\x7f"])
async def test_an_odd_tracing_header_does_not_fail_the_request(
    connect: Connect, name: str, value: str
) -> None:
    _, answered = await infer(connect(), **{name: value})
    assert answered.revision == "7"


CLASSES: dict[int, type[ServingError]] = {
    400: MalformedRequestError,
    404: ModelNotFoundError,
    413: TooLargeError,
    415: MalformedRequestError,
    422: MalformedRequestError,
    429: OverloadedError,
    502: UnavailableError,
    503: UnavailableError,
    504: DeadlineExceededError,
}
STATUSES = (*CLASSES, 204, 302, 401, 403, 405, 408, 409, 418, 500, 501, 505)


@pytest.mark.parametrize("status", STATUSES)
async def test_every_status_has_its_error_and_a_foreign_text_stays_inside(
    status: int, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(status)
    error = await refused(connect(), CLASSES.get(status, BadPredictorAnswerError))
    assert SECRET not in error.message
    assert "10.0.0.7" not in str(error.as_json())
    assert error.error_code == type(error).code
    assert error.__suppress_context__


async def test_our_own_text_and_code_are_shown(predictor: Predictor, connect: Connect) -> None:
    predictor.script = failing(400, "a value is not finite", "some_code")
    error = await refused(connect(), MalformedRequestError)
    assert error.as_json() == {"error": "a value is not finite", "code": "some_code"}


async def test_our_own_error_without_a_text_keeps_the_general_one(
    predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(503, "", "unavailable")
    error = await refused(connect(), UnavailableError)
    assert error.message == "the predictor cannot be reached"


async def test_a_refused_contract_is_told_apart(predictor: Predictor, connect: Connect) -> None:
    predictor.script = failing(400, "wrong shape", ContractRefusedError.code)
    error = await refused(connect(), ContractRefusedError)
    assert (error.status, error.message) == (400, "wrong shape")


@pytest.mark.parametrize("status", [502, 503])
@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_unavailable_is_tried_so_often_and_no_more(
    status: int, attempts: int, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(status)
    await refused(connect(attempts=attempts), UnavailableError)
    assert len(predictor.requests) == attempts


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in (502, 503)])
async def test_nothing_else_is_tried_again(
    status: int, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = failing(status)
    await refused(connect(attempts=5), CLASSES.get(status, BadPredictorAnswerError))
    assert len(predictor.requests) == 1


async def test_a_retry_that_is_answered_is_an_answer(
    predictor: Predictor, connect: Connect
) -> None:
    async def second_time(request: InferRequest) -> web.StreamResponse:
        return web.Response(status=503) if len(predictor.requests) == 1 else response()

    predictor.script = second_time
    (outputs,), _ = await infer(connect(attempts=2))
    assert outputs.tolist() == ROWS.tolist()
    assert predictor.requests[0] == predictor.requests[1]


async def silent(request: InferRequest) -> web.StreamResponse:
    await asyncio.sleep(30)
    return response()


async def test_a_silent_predictor_is_given_up_in_time(
    predictor: Predictor, connect: Connect
) -> None:
    predictor.script = silent
    error = await asyncio.wait_for(
        refused(connect(timeout_seconds=0.2, attempts=3), DeadlineExceededError), 20
    )
    assert error.status == 504
    assert len(predictor.requests) == 1


async def test_a_predictor_that_a_gateway_waits_for_in_vain_is_missing_until_it_is_there(
    predictor: Predictor, connect: Connect
) -> None:
    predictor.script, predictor.woken_status = silent, 503
    hop = connect(timeout_seconds=0.2)
    error = await refused(hop, UnavailableError)
    assert "has not started yet" in error.message
    assert error.headers()["retry-after"]
    assert hop.missing
    predictor.woken_status = 200
    while hop.missing:
        await asyncio.sleep(0.01)


async def test_a_predictor_that_is_not_there(predictor: Predictor, connect: Connect) -> None:
    await predictor.stop()
    for attempts in (1, 3):
        error = await asyncio.wait_for(refused(connect(attempts=attempts), UnavailableError), 20)
        assert error.as_json() == {
            "error": "the predictor cannot be reached",
            "code": "unavailable",
        }


@pytest.mark.parametrize("refusals", [1, 20])
async def test_a_predictor_that_returns_is_found_by_the_first_call(
    refusals: int, predictor: Predictor, connect: Connect
) -> None:
    hop = connect()
    await infer(hop)
    await predictor.stop()
    for _ in range(refusals):
        await refused(hop, UnavailableError)
    await predictor.start()
    (outputs,), _ = await infer(hop)
    assert outputs.tolist() == ROWS.tolist()


async def test_concurrent_calls_get_their_own_answers(
    predictor: Predictor, connect: Connect
) -> None:
    async def echo(request: InferRequest) -> web.StreamResponse:
        first = request.inputs[0].numbers().flat[0]
        await asyncio.sleep(0.01 * (int(first) % 3))
        one = described(shape=[1, 10], parameters={"binary_data_size": 40})
        return response(np.full(10, first, np.float32).tobytes(), [one])

    predictor.script = echo
    hop = connect()

    async def call(number: int) -> list[float]:
        batch = np.full((1, 1, 28, 28), number, np.float32)
        (outputs,), _ = await hop.infer("mnist", CONTRACT, batch, {})
        found: list[float] = outputs[0].tolist()
        return found

    found = await asyncio.gather(*(call(number) for number in range(100)))
    assert found == [[float(number)] * 10 for number in range(100)]


def odd(shape: list[Any], size: Any = None, **changes: Any) -> list[dict[str, Any]]:
    size = ROWS.nbytes if size is None else size
    return [described(shape=shape, parameters={"binary_data_size": size}, **changes)]


MALFORMED: dict[str, Callable[[], web.StreamResponse]] = {
    "nothing": web.Response,
    "not JSON": lambda: web.Response(body=b"{", headers={JSON_LENGTH: "1"}),
    "not an object": lambda: web.Response(body=b"[]", headers={JSON_LENGTH: "2"}),
    "no length": lambda: response(length=""),
    "a length beyond the answer": lambda: response(length="99999"),
    "a length that is no number": lambda: response(length="-1"),
    "JSON instead of binary": lambda: response(outputs=[described(data=[0.5] * 20)], raw=b""),
    "no outputs": lambda: response(outputs=[]),
    "two outputs": lambda: response(outputs=[described(), described()]),
    "outputs that are no list": lambda: response(outputs={"name": "probabilities"}),
    "an output that is no object": lambda: response(outputs=["probabilities"]),
    "another name": lambda: response(outputs=[described(name="logits")]),
    "another type": lambda: response(outputs=[described(datatype="FP64")]),
    "too few rows": lambda: response(bytes(40), odd([1, 10], 40)),
    "too many rows": lambda: response(bytes(120), odd([3, 10], 120)),
    "no shape": lambda: response(bytes(4), odd([], 4)),
    "no bytes": lambda: response(b""),
    "no size": lambda: response(outputs=[described(parameters={})]),
    "parameters that are no object": lambda: response(outputs=[described(parameters=80)]),
    "bytes cut off": lambda: response(ROWS.tobytes()[:-1]),
    "too many bytes": lambda: response(ROWS.tobytes() + bytes(4)),
    "another size": lambda: response(outputs=odd([2, 10], 84)),
    "not a number": lambda: response(np.full_like(ROWS, np.nan).tobytes()),
    "infinite": lambda: response(np.full_like(ROWS, np.inf).tobytes()),
    "a negative size": lambda: response(outputs=odd([2, -10])),
    "negative sizes": lambda: response(outputs=odd([2, -2, -5])),
    "a size that is no number": lambda: response(outputs=odd([2, "10"])),
    "a true size": lambda: response(ROWS[:1, :].tobytes(), odd([True, 10], 40)),
    "an overflowing size": lambda: response(b"", odd([2, 2**62, 2], 0)),
    "too many axes": lambda: response(bytes(8), odd([2, *[1] * 70], 8)),
    "a version that is no text": lambda: response(model_version=7),
    "a digest that is no text": lambda: response(parameters={"model_digest": 7}),
    "answer's parameters that are no object": lambda: response(parameters=[]),
    "compressed": lambda: response(headers={"content-encoding": "gzip"}),
    "larger than allowed": lambda: response(bytes(2 << 20)),
}


async def test_an_answer_without_a_length_is_bounded_too(
    predictor: Predictor, connect: Connect
) -> None:
    sent = 0

    async def endless(request: InferRequest) -> web.StreamResponse:
        nonlocal sent
        stream = web.StreamResponse()
        stream.enable_chunked_encoding()
        await stream.prepare(predictor.last)
        while sent < 1 << 30:
            await stream.write(bytes(1 << 16))
            sent += 1 << 16
        return stream

    predictor.script = endless
    await refused(connect(), BadPredictorAnswerError)
    assert sent < 64 << 20


@pytest.mark.parametrize("cut", ["before the answer", "within the answer"])
async def test_a_connection_that_is_lost_is_no_bad_answer(
    cut: str, predictor: Predictor, connect: Connect
) -> None:
    async def lose(request: InferRequest) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"content-length": "100"})
        if cut == "within the answer":
            await stream.prepare(predictor.last)
            await stream.write(b"{")
        assert predictor.last.transport is not None
        predictor.last.transport.abort()
        return stream

    predictor.script = lose
    await refused(connect(attempts=2), UnavailableError)
    assert len(predictor.requests) == 3, "once more at once, and once after a pause"


@pytest.mark.parametrize("fault", MALFORMED)
async def test_a_malformed_answer_is_a_bad_gateway(
    fault: str, predictor: Predictor, connect: Connect
) -> None:
    predictor.script = answering(MALFORMED[fault])
    error = await refused(connect(), BadPredictorAnswerError)
    assert error.status == 502


async def test_a_request_that_is_too_large_is_never_sent(
    predictor: Predictor, connect: Connect
) -> None:
    error = await refused(connect(max_message_bytes=BATCH.nbytes), TooLargeError)
    assert error.status == 413
    assert "2 instances" in error.message
    assert predictor.requests == []
    await infer(connect(max_message_bytes=BATCH.nbytes + 1000))
    assert len(predictor.requests) == 1


async def test_closing_an_unused_hop_is_harmless(predictor: Predictor, connect: Connect) -> None:
    await connect().close()
    assert predictor.requests == []


async def test_the_predictor_is_reached_once_and_left_alone_afterwards(
    connect: Connect, predictor: Predictor
) -> None:
    hop = connect()
    await asyncio.gather(hop.reach(), hop.reach())
    await hop.reach()
    assert predictor.woken == 1
    assert (await infer(hop))[1].revision == "7"


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_predictor_that_is_not_ready_yet_is_waited_for(
    connect: Connect, predictor: Predictor, status: int
) -> None:
    predictor.woken_status = status
    reaching = asyncio.create_task(connect().reach())
    while predictor.woken < 2:
        await asyncio.sleep(0.01)
    assert not reaching.done()
    predictor.woken_status = 200
    await asyncio.wait_for(reaching, 20)


async def test_a_predictor_that_is_not_there_yet_is_waited_for(
    connect: Connect, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("transformer.hop.SAY_SECONDS", 0.05)
    caplog.set_level("INFO", "transformer.hop")
    hop = connect()
    await predictor.stop()
    reaching = asyncio.create_task(hop.reach())
    while not caplog.records:
        await asyncio.sleep(0.01)
    assert "the predictor cannot be reached" in caplog.text
    await predictor.start()
    await asyncio.wait_for(reaching, 20)
    assert predictor.woken == 1


async def test_a_probe_of_the_predictor_says_what_it_says(
    connect: Connect, predictor: Predictor
) -> None:
    hop = connect()
    assert await hop.is_ready()
    predictor.woken_status = 503
    assert not await hop.is_ready()
    await predictor.stop()
    assert not await hop.is_ready()


@pytest.mark.parametrize("text", ["3\r\nset-cookie: a", "3 4", "é", "7" * 300])
async def test_a_revision_that_cannot_be_a_header(
    connect: Connect, predictor: Predictor, text: str
) -> None:
    predictor.script = answering(lambda: response(model_version=text))
    await refused(connect(), BadPredictorAnswerError)


def test_a_single_requests_headers_go_on_as_they_are() -> None:
    headers = {"x-request-id": "a", "traceparent": "00-1-2-01"}
    assert headers_of_all([headers]) == headers


def test_of_several_requests_the_first_ids_go_on() -> None:
    headers = [{"x-request-id": str(n), "traceparent": "00-1-2-01"} for n in range(20)]
    assert headers_of_all(headers) == {"x-request-id": ",".join(str(n) for n in range(20))}
    headers = [{"x-request-id": f"{n:036}"} for n in range(20)]
    (named,) = headers_of_all(headers).values()
    assert named == ",".join(f"{n:036}" for n in range(3))
    assert REQUEST_ID.fullmatch(named), "the predictor takes it as it is"
    assert headers_of_all([{}, {}]) == {"x-request-id": ""}
