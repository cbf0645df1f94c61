from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any

import pytest

from client.http import PredictClient, PredictError
from local.service import free_ports


@dataclass
class Response:
    status: int
    body: bytes

    def read(self) -> bytes:
        return self.body

    def getheader(self, name: str, default: str) -> str:
        return default


class Connection:
    """Stands in for ``HTTPConnection``: keeps the request and gives a prepared response."""

    response = Response(200, b"{}")
    error: Exception | None = None
    made: list[Connection]

    def __init__(self, host: str, port: int | None, timeout: float) -> None:
        self.place = (host, port)
        self.request_: tuple[str, str, Any, dict[str, str]] | None = None
        self.closed = False
        Connection.made.append(self)

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        del headers["Accept"]
        self.request_ = (method, path, json.loads(body), headers)

    def getresponse(self) -> Response:
        if Connection.error is not None:
            raise Connection.error
        return Connection.response

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Connection]:
    Connection.response, Connection.error, Connection.made = Response(200, b"{}"), None, []
    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    return Connection


def test_a_request(fake: type[Connection]) -> None:
    fake.response = Response(200, b'{"predictions": []}')
    client = PredictClient("http://example.test:81")
    assert client.predict("mnist", [b"one", b"two"]) == {"predictions": []}
    (connection,) = fake.made
    assert connection.place == ("example.test", 81)
    assert connection.request_ == (
        "POST",
        "/v1/models/mnist:predict",
        {"instances": [{"base64": base64.b64encode(i).decode()} for i in (b"one", b"two")]},
        {"Content-Type": "application/json"},
    )


def test_the_connection_is_closed_at_the_end(fake: type[Connection]) -> None:
    with PredictClient("http://x") as client:
        client.predict("mnist", [b"x"])
        assert not fake.made[0].closed
    assert fake.made[0].closed


def test_parameters_are_sent_where_there_are_some(fake: type[Connection]) -> None:
    PredictClient("http://x").predict("mnist", [], {"top_k": 2})
    assert fake.made[0].request_ is not None
    assert fake.made[0].request_[2] == {"instances": [], "parameters": {"top_k": 2}}


def test_one_connection_is_kept(fake: type[Connection]) -> None:
    client = PredictClient("http://x")
    client.predict("mnist", [b"x"])
    client.predict("mnist", [b"x"])
    assert len(fake.made) == 1


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(422, b'{"error": "instance 0: no", "code": "x"}'), "422: instance 0: no"),
        (Response(500, b"{}"), "500: no reason given"),
        (Response(502, b"<html>"), "http://x answered 502 without JSON"),
        (Response(200, b""), "http://x answered 200 without JSON"),
        (Response(200, b"\xff"), "http://x answered 200 without JSON"),
    ],
    ids=str,
)
def test_an_answer_that_is_none(fake: type[Connection], response: Response, message: str) -> None:
    fake.response = response
    with pytest.raises(PredictError) as caught:
        PredictClient("http://x").predict("mnist", [b"x"])
    assert str(caught.value) == message
    assert caught.value.status == response.status


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), TimeoutError("slow"), http.client.BadStatusLine("x")]
)
def test_a_connection_that_breaks_is_closed(fake: type[Connection], error: Exception) -> None:
    fake.error = error
    with pytest.raises(PredictError, match="cannot reach http://x: ") as caught:
        PredictClient("http://x").predict("mnist", [b"x"])
    assert caught.value.status is None
    assert fake.made[0].closed


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_ports().http}"
    client = PredictClient(url)
    with pytest.raises(PredictError, match=f"cannot reach {url}: .*refused") as caught:
        client.predict("mnist", [b"x"])
    assert caught.value.status is None


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://localhost", "http://", "http://x:abc"])
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(PredictError):
        PredictClient(url)
