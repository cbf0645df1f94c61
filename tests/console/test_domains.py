"""Domains by the page and the API, as their owner sees them."""

from __future__ import annotations

import re

import pytest

from tests.console.conftest import EMAIL, PASSWORD, Browser

NAME = "pictures.example.org"


@pytest.fixture
def member(browser: Browser) -> Browser:
    browser.sign_up()
    browser.log_in()
    return browser


def test_a_domain_is_added_with_what_proves_it_limited_and_removed(member: Browser) -> None:
    sent = member.send("/domains", name=NAME, models="mnist", rate_per_second="5")
    assert sent.headers["location"] == "/domains"
    page = member.page("/domains")
    value = re.search(r"_vision-challenge\.pictures\.example\.org\. TXT (\S+)", page)
    assert value and "vision-domain=" in value[1]
    assert f"http://{NAME}/.well-known/vision-challenge/" in page
    assert member.send(f"/domains/{NAME}/check", "/domains").status_code == 303
    assert member.send("/domains", name=NAME).status_code == 409
    limits = f"/domains/{NAME}/limits"
    assert member.send(limits, f"/domains/{NAME}", rate_per_second="7").status_code == 303
    assert "7 a second" in member.page("/domains")
    assert member.send(f"/domains/{NAME}/paint", f"/domains/{NAME}").status_code == 404
    removed = member.send(f"/domains/{NAME}/remove", f"/domains/{NAME}")
    assert removed.status_code == 303
    assert "is being taken away" in member.page("/domains")


@pytest.mark.parametrize("name", ["localhost", "a b.example", "localhost:8080", "x.svc"])
def test_a_name_that_cannot_be_had_is_refused_with_a_reason(member: Browser, name: str) -> None:
    sent = member.send("/domains", name=name)
    assert sent.status_code == 400
    assert 'aria-invalid="true"' in sent.text


def test_others_domains_are_not_there(member: Browser) -> None:
    member.send("/domains", name=NAME)
    member.http.cookies.clear()
    member.sign_up("eve@example.org")
    member.log_in("eve@example.org")
    assert NAME not in member.page("/domains")
    assert member.http.get(f"/domains/{NAME}").status_code == 404


def test_the_api_says_the_same(member: Browser) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    token = member.http.post("/api/v1/sessions", json=body).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    url = "/api/v1/domains"
    made = member.http.post(url, headers=headers, json={"name": NAME, "models": ["mnist"]})
    assert made.status_code == 201
    proof = made.json()["proof"]
    assert proof["dns"]["name"] == f"_vision-challenge.{NAME}"
    assert proof["http"]["path"].endswith(proof["http"]["text"])
    assert member.http.post(f"{url}/{NAME}/check", headers=headers).status_code == 202
    limits = {"models": ["*"], "rate_per_second": 3}
    changed = member.http.put(f"{url}/{NAME}/limits", headers=headers, json=limits).json()
    assert (changed["models"], changed["rate_per_second"]) == (["*"], 3)
    assert member.http.delete(f"{url}/{NAME}", headers=headers).status_code == 202
    (listed,) = member.http.get(url, headers=headers).json()
    assert listed["state"] == "removing"
    assert member.http.delete(f"{url}/other.example.org", headers=headers).status_code == 404
    assert member.http.get(url).status_code == 401
