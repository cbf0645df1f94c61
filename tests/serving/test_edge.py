from __future__ import annotations

import asyncio
import json
import logging
import threading
import uuid
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from kserve import errors as kserve_errors
from starlette.exceptions import HTTPException

from serving import body, errors, interruption, rendering
from serving.edge import INLINE_BYTES, Edge
from serving.model import HttpRequest, Reply
from serving.rendering import send_reply, shown_error
from serving.scheduling.admission import Admission
from serving.settings import ServerSettings
from tests.serving.fake import DIGEST, SumModel, client_of, repository, sample

LIMIT = 2048
URL = "/v1/models/sum:predict"
V2 = "/v2/models/sum/infer"
ONE = {"instances": [1, 2, 3.5]}
SECRET = "postgres://root:hunter2@10.0.0.7"

Message = MutableMapping[str, Any]


async def inner(scope: Message, receive: Any, send: Any) -> None:
    """What stands behind the edge: names its path, or fails before or after it has begun."""
    if scope["path"] == "/v1/models/fails":
        raise RuntimeError(SECRET)
    await send({"type": "http.response.start", "status": 203, "headers": []})
    if scope["path"] == "/v1/models/fails-late":
        raise RuntimeError(SECRET)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def model() -> SumModel:
    return SumModel()


@pytest.fixture
def edge(model: SumModel) -> Edge:
    models = repository(model, SumModel("other"))
    return Edge(inner, models, ServerSettings(max_body_bytes=LIMIT))  # type: ignore[call-arg]


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(edge) as opened:
        yield opened


async def call(
    edge: Edge,
    messages: list[Message],
    headers: dict[str, str] | None = None,
    path: str = URL,
    receive: Any = None,
) -> list[Message]:
    """One request as raw ASGI messages; gives the messages sent back."""
    pending = iter(messages)
    sent: list[Message] = []

    async def read_on() -> Message:
        try:
            return next(pending)
        except StopIteration:
            await asyncio.sleep(60)
            raise AssertionError("read past the last message") from None

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Message = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }
    await edge(scope, receive or read_on, send)
    return sent


def shape_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the one error shape; gives the document."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    assert set(document) <= {"error", "code", "instance"}
    assert document["code"] == code
    assert document["error"]
    return document


async def test_v1(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json=ONE)
    assert response.status_code == 200
    assert response.json() == {"predictions": [6.5]}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-own"] == "1"
    assert response.headers["x-model-name"] == "sum"
    assert response.headers["x-model-revision"] == "3"
    assert response.headers["x-model-digest"] == DIGEST
    assert response.headers["x-model-instances"] == "3"


async def test_v2(client: httpx.AsyncClient) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    response = await client.post(V2, json={"id": "7", "inputs": [tensor]})
    assert response.status_code == 200
    document = response.json()
    assert (document["id"], document["model_name"], document["model_version"]) == ("7", "sum", "3")
    assert document["outputs"][0]["data"] == [3.0]
    assert response.headers["x-model-instances"] == "2"


async def test_a_model_sees_body_headers_and_query(
    client: httpx.AsyncClient, model: SumModel
) -> None:
    content = json.dumps(ONE).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "X-Odd": "a"}
    await client.post(URL + "?top_k=2", content=content, headers=headers)
    (request,) = model.requests
    assert request.body == content
    assert request.query == "top_k=2"
    assert request.media_type == "application/json"
    assert request.headers["x-odd"] == "a"


async def test_a_request_id_is_kept(client: httpx.AsyncClient, model: SumModel) -> None:
    given = "req-1/a:b" + "x" * 119
    response = await client.post(URL, json=ONE, headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    assert model.headers[0]["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "has space", "tab\tin", "x" * 129, "\xff", "\x7f"])
async def test_a_request_id_that_cannot_be_kept_is_replaced(
    edge: Edge, model: SumModel, given: str | None
) -> None:
    body = {"type": "http.request", "body": json.dumps(ONE).encode()}
    sent = await call(edge, [body], {} if given is None else {"x-request-id": given})
    (made,) = (v.decode() for k, v in sent[0]["headers"] if k == b"x-request-id")
    assert made != given
    assert uuid.UUID(made).version == 4
    assert model.headers[0]["x-request-id"] == made


async def test_two_requests_have_two_ids(client: httpx.AsyncClient) -> None:
    ids = {(await client.post(URL, json=ONE)).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2


async def test_errors_carry_the_request_id_too(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json={"instances": ["x"]}, headers={"x-request-id": "abc"})
    assert response.headers["x-request-id"] == "abc"


async def test_an_instance_at_fault_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json={"instances": [1, "x"]})
    document = shape_of(response, 422, "invalid_request")
    assert document == {"error": "must be a number", "code": "invalid_request", "instance": 1}


@pytest.mark.parametrize("size", [LIMIT + 1, 10**12])
async def test_a_body_announced_too_large_is_not_read(edge: Edge, size: int) -> None:
    sent = await asyncio.wait_for(call(edge, [], {"content-length": str(size)}), 5)
    assert sent[0]["status"] == 413
    document = json.loads(sent[1]["body"])
    assert document == {
        "error": f"the body has {size} bytes; the limit is {LIMIT}",
        "code": "too_large",
    }


@pytest.mark.parametrize("headers", [{}, {"content-length": "10"}, {"content-length": "-1"}])
async def test_a_body_too_large_in_chunks_is_not_read_to_its_end(
    edge: Edge, headers: dict[str, str]
) -> None:
    chunk = {"type": "http.request", "body": b"x" * 1000, "more_body": True}
    sent = await asyncio.wait_for(call(edge, [chunk] * 3, headers), 5)
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "too_large"


async def test_a_body_at_the_limit_is_read(client: httpx.AsyncClient) -> None:
    content = json.dumps(ONE).encode().ljust(LIMIT)
    assert (await client.post(URL, content=content)).status_code == 200
    response = await client.post(URL, content=content + b" ")
    shape_of(response, 413, "too_large")


async def test_a_body_in_pieces_is_put_together(edge: Edge, model: SumModel) -> None:
    pieces = [bytes([byte]) for byte in json.dumps(ONE).encode()]
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    sent = await call(edge, [*messages, {"type": "http.request"}])
    assert sent[0]["status"] == 200
    assert model.requests[0].body == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("split", [0, 1, 30, 200])
async def test_a_large_answer_leaves_in_pieces(
    size: int, split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "CHUNK_BYTES", 64)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    body = bytes(range(size))
    reply = Reply(body[:split], rest=memoryview(body)[split:])
    await send_reply(send, 200, reply, {"x-a": "b"})
    start, *pieces = sent
    assert (b"content-length", str(size).encode()) in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert all(len(piece["body"]) <= 64 for piece in pieces)
    more = [piece.get("more_body", False) for piece in pieces]
    assert more == [True] * (len(pieces) - 1) + [False]


async def test_a_body_that_does_not_arrive(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_SECONDS", 0.02)
    monkeypatch.setattr(body, "CHECK_SECONDS", 0.02)
    for messages in ([], [{"type": "http.request", "body": b"{", "more_body": True}]):
        sent = await asyncio.wait_for(call(edge, messages), 20)
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]
        assert "did not arrive" in json.loads(sent[1]["body"])["error"]


async def test_a_body_that_trickles_in_is_given_up(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "CHECK_SECONDS", 0.05)

    async def trickle() -> Message:
        await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent = await asyncio.wait_for(call(edge, [], receive=trickle), 20)
    assert sent[0]["status"] == 408
    assert "at less than" in json.loads(sent[1]["body"])["error"]


async def test_a_body_that_comes_steadily_is_read_however_long_it_takes(
    edge: Edge, model: SumModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(body, "MIN_BYTES_PER_SECOND", 5)
    content = iter(json.dumps(ONE).encode().ljust(60))

    async def steadily() -> Message:
        await asyncio.sleep(0.01)
        byte = next(content, None)
        part = b"" if byte is None else bytes([byte])
        return {"type": "http.request", "body": part, "more_body": byte is not None}

    sent = await asyncio.wait_for(call(edge, [], receive=steadily), 20)
    assert sent[0]["status"] == 200


async def test_what_has_not_arrived_takes_no_room(model: SumModel) -> None:
    """Half-sent requests, however much they announce, stop nobody."""
    admission = Admission(max_requests=8, max_bytes=1 << 20, wait_seconds=1)
    settings = ServerSettings(max_body_bytes=1 << 20)
    edge = Edge(inner, repository(model), settings, admission)
    begun = [{"type": "http.request", "body": b"{", "more_body": True}]
    half = [
        asyncio.create_task(call(edge, list(begun), {"content-length": str(1 << 20)}))
        for _ in range(100)
    ]
    await asyncio.sleep(0.01)
    whole = {"type": "http.request", "body": json.dumps(ONE).encode()}
    assert (await call(edge, [whole]))[0]["status"] == 200
    for task in half:
        task.cancel()
    await asyncio.gather(*half, return_exceptions=True)
    assert admission.requests == 0
    admission.enter(1 << 20)  # all of it was given back


async def test_what_has_arrived_does(model: SumModel) -> None:
    admission = Admission(max_requests=8, max_bytes=3000, wait_seconds=1)
    edge = Edge(inner, repository(model), ServerSettings(max_body_bytes=LIMIT), admission)
    part = {"type": "http.request", "body": bytes(LIMIT), "more_body": True}
    half = asyncio.create_task(call(edge, [part]))
    await asyncio.sleep(0.01)
    sent = await call(edge, [{**part, "more_body": False}])
    assert sent[0]["status"] == 429
    assert json.loads(sent[1]["body"])["error"] == "too many bytes are in progress"
    half.cancel()
    await asyncio.gather(half, return_exceptions=True)
    assert (await call(edge, [{**part, "more_body": False}]))[0]["status"] != 429


async def test_work_that_nobody_waits_for_is_given_up(
    edge: Edge, model: SumModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "WATCH_SECONDS", 0.01)
    model.pause = 60
    before = requests_counted("499")
    whole = {"type": "http.request", "body": json.dumps(ONE).encode()}
    sent = await asyncio.wait_for(call(edge, [whole, {"type": "http.disconnect"}]), 20)
    assert sent == []
    assert requests_counted("499") - before == 1
    model.pause = 0
    assert (await call(edge, [whole]))[0]["status"] == 200


async def test_a_cancellation_from_outside_stays_one(edge: Edge, model: SumModel) -> None:
    model.pause = 60
    whole = {"type": "http.request", "body": json.dumps(ONE).encode()}
    task = asyncio.create_task(call(edge, [whole]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_is_answered_after_a_disconnect(
    edge: Edge, model: SumModel, caplog: pytest.LogCaptureFixture
) -> None:
    start = {"type": "http.request", "body": b"{", "more_body": True}
    assert await call(edge, [start, {"type": "http.disconnect"}]) == []
    assert model.requests == []
    assert caplog.records == []


@pytest.mark.parametrize("url", ["/v1/models/nobody:predict", "/v2/models/nobody/infer"])
async def test_an_unknown_model(client: httpx.AsyncClient, url: str) -> None:
    document = shape_of(await client.post(url, json=ONE), 404, "unknown_model")
    assert document["error"] == "model 'nobody' not found; available: other, sum"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("url", [URL, V2, "/v1/models/sum:explain"])
async def test_only_post_predicts(client: httpx.AsyncClient, method: str, url: str) -> None:
    document = shape_of(await client.request(method, url), 405, "method_not_allowed")
    assert method in document["error"]


async def test_there_is_no_explainer(client: httpx.AsyncClient, model: SumModel) -> None:
    shape_of(await client.post("/v1/models/sum:explain", json=ONE), 501, "unsupported")
    assert model.requests == []


async def test_a_model_that_is_not_ready(client: httpx.AsyncClient, model: SumModel) -> None:
    model.ready = False
    response = await client.post(URL, json=ONE)
    document = shape_of(response, 503, "unavailable")
    assert document["error"] == "model sum is not ready"
    assert response.headers["retry-after"] == "1"
    other = await client.post("/v1/models/other:predict", json=ONE)
    assert other.status_code == 200


async def test_a_version_is_the_revision(client: httpx.AsyncClient) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    right = await client.post("/v2/models/sum/versions/3/infer", json={"inputs": [tensor]})
    assert right.status_code == 200
    assert right.headers["x-model-revision"] == "3"
    wrong = await client.post("/v2/models/sum/versions/4/infer", json={"inputs": [tensor]})
    document = shape_of(wrong, 404, "not_found")
    assert "revision 3" in document["error"]
    assert "'4'" in document["error"]
    assert "x-model-revision" not in wrong.headers


async def test_the_text_of_an_unexpected_exception_stays_here(
    client: httpx.AsyncClient, model: SumModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.fault = RuntimeError(SECRET)
    response = await client.post(URL, json=ONE, headers={"x-request-id": "abc"})
    document = shape_of(response, 500, "internal")
    assert document == errors.InternalError().as_json()
    assert SECRET not in response.text + str(response.headers)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is model.fault
    assert vars(record)["request_id"] == "abc"


async def test_a_clients_mistake_is_a_warning_without_a_traceback(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.post(URL, json={"instances": ["x"]}, headers={"x-request-id": "abc"})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    fields = vars(record)
    found = [fields[n] for n in ("request_id", "method", "path", "status", "code")]
    assert found == ["abc", "POST", URL, 422, "invalid_request"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (errors.OverloadedError("busy"), 429),
        (errors.BadPredictorAnswerError("odd"), 502),
        (errors.DeadlineExceededError("slow"), 504),
    ],
)
async def test_a_models_error_keeps_its_status(
    client: httpx.AsyncClient, model: SumModel, fault: errors.ServingError, status: int
) -> None:
    model.fault = fault
    response = await client.post(URL, json=ONE)
    assert shape_of(response, status, fault.error_code)["error"] == fault.message
    expected = None if fault.retry_after_seconds is None else str(fault.retry_after_seconds)
    assert response.headers.get("retry-after") == expected


ROUTE = "/v1/models/{model}:predict"


def requests_counted(code: str, model: str = "sum", revision: str = "") -> float:
    labels = {"model_name": model, "revision": revision, "protocol": "v1", "code": code}
    return sample("vision_requests_total", **labels, route=ROUTE)


async def test_answers_are_counted(client: httpx.AsyncClient) -> None:
    served = {"model_name": "sum", "revision": "3"}

    def now() -> tuple[float, ...]:
        return (
            requests_counted("200", revision="3"),
            sample("vision_instances_total", **served),
            sample("vision_request_seconds_count", **served, protocol="v1", route=ROUTE),
            sample("vision_request_size_bytes_sum", **served),
            sample("vision_response_size_bytes_count", **served),
        )

    before = now()
    await client.post(URL, json=ONE)
    await client.post(URL, content=b'{"instances": [1]}')
    received = len(json.dumps(ONE, separators=(",", ":"))) + 18
    assert [b - a for a, b in zip(before, now(), strict=True)] == [2, 4, 2, received, 2]


async def test_failures_are_counted_without_a_revision(
    client: httpx.AsyncClient, model: SumModel
) -> None:
    served = {"model_name": "sum", "revision": "3"}
    before = [requests_counted(code) for code in ("405", "422", "500")]
    instances = sample("vision_instances_total", **served)
    await client.get(URL)
    await client.post(URL, json={"instances": ["x"]})
    model.fault = ValueError("x")
    await client.post(URL, json=ONE)
    after = [requests_counted(code) for code in ("405", "422", "500")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    assert sample("vision_instances_total", **served) == instances


async def test_names_that_clients_make_up_are_no_labels(client: httpx.AsyncClient) -> None:
    before = requests_counted("404", model="")
    await client.post("/v1/models/made-up:predict", json=ONE)
    assert requests_counted("404", model="") - before == 1
    assert requests_counted("404", model="made-up") == 0


async def test_other_routes_are_counted_by_their_templates(client: httpx.AsyncClient) -> None:
    def now() -> list[float]:
        others = {"model_name": "", "revision": "", "protocol": ""}
        return [
            sample("vision_requests_total", **others, route=route, code=code)
            for route, code in (("/v2/models/{model}/ready", "203"), ("", "404"))
        ]

    before = now()
    await client.get("/v2/models/sum/ready")
    await client.get("/v2/models/other/ready")
    await client.get("/made/up")
    assert [b - a for a, b in zip(before, now(), strict=True)] == [2, 1]


async def test_rejections_are_counted_by_their_reason(
    client: httpx.AsyncClient, model: SumModel
) -> None:
    def now() -> list[float]:
        reasons = ("invalid_request", "overloaded", "queue_bytes", "internal")
        return [
            sample("vision_rejections_total", model_name="sum", reason=reason) for reason in reasons
        ]

    before = now()
    await client.post(URL, json={"instances": ["x"]})
    for fault in (
        errors.OverloadedError("busy"),
        errors.OverloadedError("busy", reason="queue_bytes"),
        ValueError("x"),
    ):
        model.fault = fault
        await client.post(URL, json=ONE)
    assert [b - a for a, b in zip(before, now(), strict=True)] == [1, 1, 1, 1]


async def test_access_log(model: SumModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.http")
    for wanted in (False, True):
        settings = ServerSettings(access_log=wanted)  # type: ignore[call-arg]
        async with client_of(Edge(inner, repository(model), settings)) as client:
            await client.post(URL, json=ONE)
    (record,) = caplog.records
    fields = vars(record)
    assert (fields["status"], fields["revision"], fields["path"]) == (200, "3", URL)
    assert fields["milliseconds"] >= 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/v1/models",
        "/v1/models/sum",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models",
        "/v2/models/sum",
        "/v2/models/sum/ready",
        "/v2/models/sum/versions/3",
        "/v2/models/sum/versions/3/ready",
        "/v2/repository/models/sum/load",
        "/v2/repository/models/sum/unload",
    ],
)
async def test_other_routes_are_passed_on(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.text) == (203, path)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/sum:predict%0a",
        "/v1/models/sum:explain%0a",
        "/v1/models/sum:predict%0d%0a",
        "/v1/models/sum:predict/",
        "/v1/models/sum%0a",
        "/v1/models/a/b:predict",
        "/v2/models/sum/infer%0a",
        "/v2/models/sum/infer/",
        "/v2/models/sum/versions/3/infer%0a",
        "/v2/models/sum%0a/infer%0a",
        "/v2/health/ready%0a",
        "/v2/models/sum/generate",
        "/v3/models",
        "/openai/v1/completions",
        "//v2/models/sum/infer",
    ],
)
async def test_one_router_decides(
    client: httpx.AsyncClient, model: SumModel, method: str, path: str
) -> None:
    """What is neither a prediction nor a route that KServe is left with never gets to KServe."""
    response = await client.request(method, path, json=ONE)
    shape_of(response, 404, "not_found")
    assert model.requests == []


async def test_a_route_that_fails_is_shown_like_the_rest(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models/fails")
    shape_of(response, 500, "internal")
    assert SECRET not in response.text


async def test_a_route_that_fails_late_is_not_answered_twice(edge: Edge) -> None:
    sent = await call(edge, [], path="/v1/models/fails-late")
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_scopes_that_are_not_http_are_passed_on() -> None:
    seen = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    edge = Edge(app, repository(), ServerSettings())

    async def nothing(*_: Any) -> Any:
        return {}

    await edge({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.TooLargeError("x"), errors.TooLargeError),
        (kserve_errors.InvalidInput("x"), errors.MalformedRequestError),
        (kserve_errors.ModelNotFound("x"), errors.ModelNotFoundError),
        (kserve_errors.ModelNotReady("x"), errors.UnavailableError),
        (kserve_errors.ServerNotReady(), errors.UnavailableError),
        (kserve_errors.ServerNotLive(), errors.UnavailableError),
        (kserve_errors.UnsupportedProtocol("x"), errors.UnsupportedError),
        (kserve_errors.InferenceError("x"), errors.InternalError),
        (NotImplementedError("x"), errors.UnsupportedError),
        (HTTPException(404), errors.NotFoundError),
        (HTTPException(405), errors.MethodNotAllowedError),
        (MemoryError("x"), errors.InternalError),
        (KeyError("x"), errors.InternalError),
    ],
    ids=repr,
)
def test_what_is_shown_of_an_exception(
    error: BaseException, kind: type[errors.ServingError]
) -> None:
    assert type(shown_error(error)) is kind


@pytest.mark.parametrize(("size", "inline"), [(100, True), (INLINE_BYTES + 1, False)])
async def test_a_large_body_is_parsed_off_the_event_loop(
    model: SumModel, monkeypatch: pytest.MonkeyPatch, size: int, inline: bool
) -> None:
    threads: list[bool] = []
    read = model.read_v1

    def watched(request: HttpRequest) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(request)

    monkeypatch.setattr(model, "read_v1", watched)
    edge = Edge(inner, repository(model), ServerSettings())  # type: ignore[call-arg]
    body = json.dumps({"instances": [1, 2]}).encode().ljust(size)
    async with client_of(edge) as client:
        response = await client.post(URL, content=body)
    assert response.status_code == 200
    assert threads == [inline]
