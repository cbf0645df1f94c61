from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from transformer.front_page import FrontPage

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_api_route("/", lambda: {"status": "alive"})
    app.add_middleware(FrontPage, models=["mnist", "land-cover"])
    return TestClient(app, base_url="http://localhost:8080")


def test_a_browser_is_told_how_to_ask_each_model(client: TestClient) -> None:
    answer = client.get("/", headers={"accept": BROWSER})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name in ("mnist", "land-cover"):
        assert f"http://localhost:8080/v1/models/{name}:predict" in answer.text
    assert 'href="/docs"' in answer.text


def test_a_host_is_text_and_no_markup(client: TestClient) -> None:
    answer = client.get("/", headers={"accept": BROWSER, "host": "<b>'\"&"})
    assert "<b>" not in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_everybody_else_gets_what_there_was(client: TestClient, accept: str) -> None:
    assert client.get("/", headers={"accept": accept}).json() == {"status": "alive"}


def test_other_urls_stay_as_they_are(client: TestClient) -> None:
    assert client.get("/nowhere", headers={"accept": BROWSER}).status_code == 404
