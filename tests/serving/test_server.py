from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints

from serving.arguments import read_arguments, server_arguments
from serving.errors import ForbiddenError, ModelNotFoundError
from serving.server import (
    ClosedDataPlane,
    ClosedRepository,
    ClosedRESTServer,
    VisionServer,
    close_edges,
)
from serving.settings import ServerSettings
from tests.serving.fake import SumModel, client_of, repository

Models = tuple[SumModel, SumModel]


def application(*models: SumModel, origins: str = "") -> FastAPI:
    """An application with KServe's endpoints, closed as ``VisionServer`` closes KServe's own."""
    registered = repository(*models)
    plane, closed = ClosedDataPlane(registered), ClosedRepository(registered)
    app = FastAPI()
    app.add_api_route("/metrics", metrics_handler)
    register_v1_endpoints(app, plane, closed)
    register_v2_endpoints(app, plane, closed)
    settings = ServerSettings(host="127.0.0.1", cors_origins=origins)
    close_edges(app, registered, settings, settings.admission())
    return app


@pytest.fixture
def models() -> Models:
    return SumModel("one"), SumModel("two")


@pytest.fixture
async def client(models: Models) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(*models)) as opened:
        yield opened


def refused(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status
    document: dict[str, Any] = response.json()
    assert set(document) == {"error", "code"}
    assert document["code"] == code
    text: str = document["error"]
    return text


async def test_predictions_go_through_the_edge(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/models/two:predict", json={"instances": [1, 2]})
    assert response.json() == {"predictions": [3]}
    assert response.headers["x-model-name"] == "two"


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("name", ["one", "nobody"])
async def test_the_repository_is_closed(
    client: httpx.AsyncClient, models: Models, verb: str, name: str
) -> None:
    response = await client.post(f"/v2/repository/models/{name}/{verb}")
    assert "closed" in refused(response, 403, "forbidden")
    assert (await client.get("/v2/models")).json() == {"models": ["one", "two"]}
    assert models[0].ready


async def test_the_closed_repository_refuses_every_caller() -> None:
    closed = ClosedRepository(repository(SumModel("one")))
    with pytest.raises(ForbiddenError):
        await closed.load("one")
    with pytest.raises(ForbiddenError):
        await closed.unload("one")


async def test_ready_means_that_every_model_is(client: httpx.AsyncClient, models: Models) -> None:
    assert (await client.get("/v2/health/ready")).status_code == 200
    models[1].ready = False
    response = await client.get("/v2/health/ready")
    refused(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"
    assert (await client.get("/v2/health/live")).status_code == 200
    models[1].ready = True
    assert (await client.get("/v2/health/ready")).status_code == 200


async def test_readiness_of_one_model(client: httpx.AsyncClient, models: Models) -> None:
    models[1].ready = False
    for url in ("/v1/models/{}", "/v2/models/{}/ready"):
        assert (await client.get(url.format("one"))).status_code == 200
        refused(await client.get(url.format("two")), 503, "unavailable")
        refused(await client.get(url.format("nobody")), 404, "unknown_model")


async def test_no_model_is_not_ready() -> None:
    assert not await ClosedDataPlane(model_registry=repository()).ready()


async def test_a_request_never_loads_a_model() -> None:
    model = SumModel("one", ready=False)
    plane = ClosedDataPlane(model_registry=repository(model))
    assert await plane.get_model("one") is model
    assert not model.ready
    with pytest.raises(ModelNotFoundError, match="'two'"):
        await plane.get_model("two")


@pytest.mark.parametrize(
    "url",
    ["/v1/models/none", "/v2/models/none", "/v2/models/none/ready", "/v1/models/none:predict"],
)
async def test_every_url_of_an_unknown_model_lists_those_that_there_are(
    client: httpx.AsyncClient, url: str
) -> None:
    answer = await (client.post(url) if ":" in url else client.get(url))
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "model 'none' not found; available: one, two",
        "code": "unknown_model",
    }


async def test_the_binary_extension_is_announced(client: httpx.AsyncClient) -> None:
    assert "binary_tensor_data" in (await client.get("/v2")).json()["extensions"]


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/models/one:other", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v2/health/ready", 405, "method_not_allowed"),
        ("GET", "/v1/models/one:predict", 405, "method_not_allowed"),
        ("GET", "/v2/models/one/versions/3/ready", 501, "unsupported"),
    ],
)
async def test_errors_of_other_routes_have_the_same_shape(
    client: httpx.AsyncClient, method: str, url: str, status: int, code: str
) -> None:
    refused(await client.request(method, url), status, code)


async def test_metrics_are_beside_kserves_own(client: httpx.AsyncClient) -> None:
    await client.post("/v1/models/two:predict", json={"instances": [1, 2]})
    text = (await client.get("/metrics")).text
    labels = 'model_name="two",protocol="v1",revision="3",route="/v1/models/{model}:predict"'
    assert f'vision_requests_total{{code="200",{labels}}}' in text
    assert "request_predict_seconds" in text


async def test_a_fault_of_kserves_own_routes_is_not_shown(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: ClosedDataPlane) -> bool:
        raise RuntimeError("a secret address")

    monkeypatch.setattr(ClosedDataPlane, "ready", broken)
    response = await client.get("/v2/health/ready")
    assert "secret" not in refused(response, 500, "internal")


def test_the_server_listens_where_it_is_told() -> None:
    registered = repository()
    settings = ServerSettings(host="127.0.0.1")
    server = ClosedRESTServer(
        settings,
        settings.admission(),
        data_plane=ClosedDataPlane(model_registry=registered),
        model_repository_extension=ClosedRepository(registered),
        http_port=0,
    )
    assert server.config.host == "127.0.0.1"
    assert not server.config.access_log
    assert not server.config.server_header


async def test_models_are_told_that_the_server_has_started() -> None:
    heard = asyncio.Event()

    class Hearing(SumModel):
        async def started(self) -> None:
            heard.set()
            await asyncio.sleep(60)

    server = VisionServer(ServerSettings(), read_arguments(server_arguments("x", "y"), []))
    server.models = [Hearing("one")]
    server.servers.append(heard.wait())
    await asyncio.wait_for(server.serve(), 30)  # ends, although the model has not
    assert heard.is_set()


@pytest.mark.parametrize("path", ["/v2", "/v2/models/one", "/v1/models", "/v2/health/ready"])
async def test_head_is_answered_where_get_is(client: httpx.AsyncClient, path: str) -> None:
    got, asked = await client.get(path), await client.head(path)
    assert (asked.status_code, asked.headers) == (got.status_code, got.headers)


async def test_head_of_a_prediction_is_not_allowed(client: httpx.AsyncClient) -> None:
    response = await client.head("/v1/models/one:predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/v2/", "/v1/models/", "/v2/models/one/", "/metrics/"])
async def test_nothing_is_redirected(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


PREFLIGHT = {
    "origin": "https://app.example.org",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


async def test_pages_of_other_origins_are_told_nothing(client: httpx.AsyncClient) -> None:
    for response in (
        await client.options("/v1/models/one:predict", headers=PREFLIGHT),
        await client.post("/v1/models/one:predict", json={"instances": [1]}, headers=PREFLIGHT),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origins", ["https://app.example.org", "*"])
async def test_pages_of_named_origins_may_ask(models: Models, origins: str) -> None:
    path = "/v1/models/one:predict"
    async with client_of(application(*models, origins=origins)) as client:
        asked = await client.options(path, headers=PREFLIGHT)
        assert asked.status_code == 200
        assert "POST" in asked.headers["access-control-allow-methods"]
        answer = await client.post(path, json={"instances": [1]}, headers=PREFLIGHT)
        fault = await client.post(path, content=b"{", headers=PREFLIGHT)
        for response in (asked, answer, fault):
            allowed = response.headers["access-control-allow-origin"]
            assert allowed in ("https://app.example.org", "*")
        assert "x-model-revision" in answer.headers["access-control-expose-headers"]
        other = await client.post(path, json={"instances": [1]}, headers={"origin": "http://x.y"})
        assert ("access-control-allow-origin" in other.headers) == (origins == "*")
