"""What a client sees through Envoy, and what reaches a model."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest
import yaml
from sqlalchemy import select

from accounts.keys import revoke_key
from accounts.tables import ApiKey, Event
from edge.envoy import CONFIGURATION
from tests.edge.stack import Stack, with_stub
from tests.end_to_end.conftest import Response, call

PREDICT = "/v1/models/mnist:predict"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("path")
    with with_stub(folder, f"sqlite:///{folder}/accounts.db") as stack:
        yield stack


def ask(
    stack: Stack, key: str | None, path: str = PREDICT, body: bytes = b"{}", **headers: str
) -> Response:
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    sent = body if path.endswith(("predict", "infer", "unload")) else None
    return call(stack.url + path, sent, headers=headers)


def reached(stack: Stack) -> int:
    return len((stack.folder / "logs" / "model.log").read_text().splitlines())


def test_a_prediction_passes_and_is_on_record_when_it_arrives(stack: Stack) -> None:
    shown = stack.key()
    answer = ask(stack, shown.key, **{"x-request-id": "my-own-id"})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "my-own-id"
    assert not [name for name in answer.headers if name.startswith(("x-model", "x-envoy"))]
    with stack.session() as session:
        event = session.scalars(select(Event).where(Event.request_id == "my-own-id")).one()
        assert (event.state, event.key_id, event.request_bytes) == ("billed", shown.id, 2)
        assert event.response_bytes == len(answer.body)


def test_the_model_sees_who_asks_but_not_the_key(stack: Stack) -> None:
    shown = stack.key()
    forged = {"x-account-id": "acc_forged", "x-key-id": "key_forged", "cookie": "session=secret"}
    seen = ask(stack, shown.key, "/v1/models/mnist", **forged).body.decode().lower()
    assert f"x-key-id: {shown.id}" in seen
    assert "x-account-id: acc_" in seen
    assert "forged" not in seen
    assert "secret" not in seen
    assert "authorization" not in seen


def test_a_uuid_is_not_changed_on_the_way(stack: Stack) -> None:
    own = "0b9a2c44-5f4e-4d6b-8a57-2f0cbe6ab111"
    assert ask(stack, stack.key().key, **{"x-request-id": own}).headers["x-request-id"] == own


def test_who_has_no_right_wakes_nothing(stack: Stack) -> None:
    other = stack.key(scopes=("fashion-mnist",)).key
    full = stack.key(quota_requests=0).key
    before = reached(stack)
    said = [
        ask(stack, None).status,
        ask(stack, "vk_made-up").status,
        ask(stack, other).status,
        ask(stack, full).status,
        ask(stack, other, "/v2/repository/models/mnist/unload").status,
        ask(stack, other, "/v1/models/mnist%2Fx:predict").status,
    ]
    assert said == [401, 401, 403, 429, 404, 400]
    assert reached(stack) == before
    for answer in (ask(stack, None), ask(stack, full)):
        assert set(answer.json()) == {"error", "code"}
    assert int(ask(stack, full).headers["retry-after"]) > 0


def test_a_percent_sign_makes_no_request_free(stack: Stack) -> None:
    shown = stack.key()
    ask(stack, shown.key, "/v1/models/mnis%74%3apredict")
    ask(stack, shown.key, "/v1/x/../models/mnist:predict")
    with stack.session() as session:
        states = session.scalars(select(Event.state).where(Event.key_id == shown.id)).all()
    got_through = [s for s in states if s == "billed"]
    assert len(got_through) == len(states)


def test_a_revoked_key_is_refused_within_five_seconds(stack: Stack) -> None:
    shown = stack.key()
    assert ask(stack, shown.key).status == 200
    with stack.session() as session:
        revoke_key(session, session.get_one(ApiKey, shown.id).account_id, shown.id)
        session.commit()
    revoked = time.monotonic()
    while ask(stack, shown.key).status == 200:
        assert time.monotonic() - revoked < 5
        time.sleep(0.1)
    assert ask(stack, shown.key).status == 401


def test_without_accounts_nothing_passes_but_says_so(stack: Stack) -> None:
    key = stack.key().key
    before = reached(stack)
    stack.kill("check")
    try:
        answer = ask(stack, key)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "unavailable"
        assert reached(stack) == before
    finally:
        stack.start("check")
    deadline = time.monotonic() + 10
    while ask(stack, key).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_dead_model_is_a_503_that_costs_nothing(stack: Stack) -> None:
    shown = stack.key()
    stack.kill("model")
    try:
        answer = ask(stack, shown.key)
        assert answer.status == 503
        assert answer.json()["code"] == "unavailable"
    finally:
        stack.start("model")
    with stack.session() as session:
        states = session.scalars(select(Event.state).where(Event.key_id == shown.id)).all()
    assert states == ["failed"]


def test_a_body_for_the_console_is_small(stack: Stack) -> None:
    """There is no console here: Envoy refuses before it asks for one."""
    answer = call(f"{stack.url}/api/v1/sessions", b" " * 65_537)
    assert answer.status == 413
    assert answer.json()["code"] == "too_large"
    assert call(f"{stack.url}/api/v1/sessions", b" " * 65_536).status == 503
    # The models have limits of their own.
    assert ask(stack, stack.key().key, body=b"{" + b" " * 200_000 + b"}").status == 200


def refused(stack: Stack, request: bytes) -> tuple[int, dict[str, str]]:
    """Status and document of the answer to bytes that are no good request."""
    with socket.create_connection(("127.0.0.1", stack.ports.edge), timeout=10) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("path", [PREDICT, "/login", "/-/ready"])
@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("POST {} HTTP/1.0\r\nhost: x", 426, "http_version"),
        ("POST {} HTTP/1.1\r\nhost: x\r\nx_y: 1", 400, "malformed_request"),
        ("POST {} HTTP/1.1\r\nhost: x\r\nx-y: " + 70_000 * "a", 431, "headers_too_large"),
        ("POST {}" + 70_000 * "a" + " HTTP/1.1\r\nhost: x", 431, "headers_too_large"),
        ("POST {} HTTP/1.1\r\nhost: x" + 200 * "\r\nx-y: 1", 431, "headers_too_large"),
        ("POST {} HTTP/1.1", 400, "malformed_request"),
        ("POST {} HTTP/1.1\r\nhost: x\r\nhost: y", 400, "malformed_request"),
        ("BREW {} HTTP/1.1\r\nhost: x", 400, "malformed_request"),
        ("nonsense", 400, "malformed_request"),
        (
            "GET {} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket",
            403,
            "forbidden",
        ),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_envoy_itself_refuses_has_a_status_and_a_reason(
    stack: Stack, path: str, head: str, status: int, code: str
) -> None:
    found, document = refused(stack, f"{head.format(path)}\r\n\r\n".encode())
    assert (found, document["code"]) == (status, code)
    assert document["error"]


def test_only_the_route_of_the_models_reaches_them() -> None:
    """Both filters stand on it: what passes unasked or unmetered would be free of charge."""
    listener, *_ = yaml.safe_load(CONFIGURATION.read_text())["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    filters = {item["name"]: item for item in manager["http_filters"]}
    assert "disabled" not in filters["envoy.filters.http.ext_authz"]
    (host,) = manager["route_config"]["virtual_hosts"]
    # An authority's question is answered by nobody of the models'.
    others = ("console", "acme")
    routes = [
        route for route in host["routes"] if route.get("route", {}).get("cluster") not in others
    ]
    for route in routes:
        own = route["typed_per_filter_config"]
        if "route" in route:
            assert "overrides" in own["envoy.filters.http.ext_proc"]
            assert "envoy.filters.http.ext_authz" not in own
        else:
            assert {"direct_response", "redirect"} & set(route)


def test_an_escaped_colon_is_one(stack: Stack) -> None:
    key = stack.key().key
    for path in ("/v1/models/mnist%3Apredict", "/v1/models/land-cover%3apredict"):
        assert ask(stack, key, path).status == 200


@pytest.fixture(scope="module")
def open_to_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("origins")
    with with_stub(folder, f"sqlite:///{folder}/accounts.db", [ORIGIN]) as stack:
        yield stack


ORIGIN = "https://app.example.org"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


def test_pages_of_named_origins_may_ask_without_a_key_what_they_may_ask(
    open_to_pages: Stack,
) -> None:
    url = open_to_pages.url + PREDICT
    asked = call(url, method="OPTIONS", headers=PREFLIGHT)
    assert asked.status == 200
    assert "authorization" in asked.headers["access-control-allow-headers"]
    answer = ask(open_to_pages, open_to_pages.key().key, origin=ORIGIN)
    refused = ask(open_to_pages, None, origin=ORIGIN)
    assert (answer.status, refused.status) == (200, 401)
    for response in (asked, answer, refused):
        assert response.headers["access-control-allow-origin"] == ORIGIN
    for headers in ({"origin": "https://other.example.org"}, {"origin": ORIGIN + ".evil"}):
        assert "access-control-allow-origin" not in ask(open_to_pages, None, **headers).headers


def test_pages_of_other_origins_are_told_nothing(stack: Stack) -> None:
    assert call(stack.url + PREDICT, method="OPTIONS", headers=PREFLIGHT).status == 401
    assert "access-control-allow-origin" not in ask(stack, None, origin=ORIGIN).headers
