"""Experiments by the operators' page and API, and from a shell."""

from __future__ import annotations

import itertools
import re

import pytest
from sqlalchemy import select

from accounts.__main__ import main
from accounts.clock import now_ms
from accounts.staff import set_roles
from accounts.tables import Event, Feedback
from tests.console.conftest import EMAIL, PASSWORD, Browser

OLD = "http://prev-vision-predictor.vision.svc.cluster.local"
NEW = "http://latest-vision-predictor.vision.svc.cluster.local"
LINES = f"old 1 {OLD}\nnew 2 {NEW} 1\n"
API = "/api/v1/operator/experiments"
numbers = itertools.count()


@pytest.fixture
def operator(browser: Browser) -> Browser:
    browser.sign_up()
    with browser.service.database.write() as session:
        set_roles(session, EMAIL, ["deployer"], "t")
    browser.log_in()
    return browser


def test_who_sees_what_runs_may_not_start_it(operator: Browser) -> None:
    with operator.service.database.write() as session:
        set_roles(session, EMAIL, ["viewer"], "t")
    assert "Start it" not in operator.page("/operator/experiments")
    page = operator.page("/account")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf
    sent = operator.http.post("/operator/experiments", data={"csrf": csrf[1]})
    assert sent.status_code == 404


def start(browser: Browser, **fields: object):
    sent = {"name": "new-shirt", "model": "mnist", "variants": LINES, "sticky_by": "key"}
    return browser.send(
        "/operator/experiments", "/operator/experiments", **{**sent, "percent": "50", **fields}
    )


def answered(browser: Browser, variant: str, revision: str, subjects: int, failed: int = 0) -> None:
    """Five answers each of so many subjects; of a share of them none came."""
    zeros = dict.fromkeys(("attempt_id", "pixels", "request_bytes", "response_bytes"), 0)
    zeros |= dict.fromkeys(("answers", "withheld", "unanswered_milliseconds"), 0)
    with browser.service.database.write() as session:
        for subject in range(subjects):
            for number in range(5):
                lost = subject < failed and number < 4
                session.add(
                    Event(
                        account_id="a",
                        request_id=f"{variant}{next(numbers)}",
                        attempts=1,
                        content="",
                        state="failed" if lost else "billed",
                        key_id="k",
                        model="mnist",
                        revision="" if lost else revision,
                        status=503 if lost else 200,
                        instances=1,
                        milliseconds=10 + number,
                        started_ms=now_ms(),
                        completed_ms=now_ms(),
                        experiment="new-shirt",
                        variant=variant,
                        subject=f"{variant}{subject}",
                        unsure=0,
                        **zeros,
                    )
                )


def test_pages_do_not_exist_for_others(browser: Browser) -> None:
    browser.sign_up()
    browser.log_in()
    assert browser.http.get("/operator/experiments").status_code == 404
    assert browser.http.get("/operator/experiments/new-shirt").status_code == 404


def test_an_experiment_is_started_shown_judged_and_stopped(operator: Browser) -> None:
    assert start(operator).headers["location"] == "/operator/experiments/new-shirt"
    page = operator.page("/operator/experiments/new-shirt")
    assert "50 % take part" in page and "too few subjects" in page
    head, _, rows = page.partition("<caption>Variants")[2].partition("</thead>")
    titles = re.findall(r'scope="col"[^>]*>([^<]+)<', head)
    assert "Wrong" in titles
    # Every column's cells stand below its title.
    assert titles[1:] == re.findall(r'data-label="([^"]+)"', rows.partition("</tr>")[0])
    answered(operator, "old", "1", 200)
    answered(operator, "new", "2", 200, failed=60)
    page = operator.page("/operator/experiments/new-shirt")
    assert "New is worse in failures." in page
    assert operator.send(
        "/operator/experiments/new-shirt/stop", "/operator/experiments/new-shirt", why="worse"
    ).headers["location"]
    assert "stopped" in operator.page("/operator/experiments/new-shirt")
    assert start(operator).status_code == 409


def test_alike_is_said_when_differences_that_matter_are_ruled_out(operator: Browser) -> None:
    start(operator)
    for variant, revision in (("old", "1"), ("new", "2")):
        answered(operator, variant, revision, 60)
    assert "Go on: what there is does not decide it." in operator.page(
        "/operator/experiments/new-shirt"
    )
    for variant, revision in (("old", "1"), ("new", "2")):
        # Of the same subjects and more.
        answered(operator, variant, revision, 900)
    assert "New is like the control." in operator.page("/operator/experiments/new-shirt")


def test_nobody_is_told_to_go_on_with_what_is_stopped(operator: Browser) -> None:
    start(operator)
    page = "/operator/experiments/new-shirt"
    operator.send(f"{page}/stop", page, why="no time")
    assert "It was stopped undecided." in operator.page(page)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "New shirt", "is no name such as"),
        ("variants", "old 1", "is no line of name"),
        ("variants", f"old 1 {OLD}", "one variant is none"),
        ("variants", f"a 1 {OLD}\na 2 {NEW}", "the same name"),
        ("variants", f"a 1 {OLD} {'9' * 5000}\nb 2 {NEW}", "is no line of name"),
        ("variants", f"a 1 {OLD} 0\nb 2 {NEW} 0", "no variant has a share"),
        ("variants", f"a 1 {OLD}\nb 2 http://169.254.169.254", "is no target"),
        ("variants", f"a 1 {OLD}\nb 2 https://x.svc.cluster.local", "is no target"),
        ("variants", f"a 1 {OLD}\nb 2 http://x.svc.cluster.local/path", "is no target"),
        ("variants", f"a 1 {OLD}\nb 2 http://u@x.svc.cluster.local", "is no target"),
        ("sticky_by", "header:cookie", "header:x-subject"),
        ("percent", "101", "percent is 0 to 100"),
    ],
)
def test_what_cannot_be_run_is_refused(
    operator: Browser, field: str, value: str, said: str
) -> None:
    answer = start(operator, **{field: value})
    assert answer.status_code == 400
    assert said in answer.text.lower().replace("&#39;", "'")


def test_one_at_a_time_of_a_model(operator: Browser) -> None:
    start(operator)
    answer = start(operator, name="another")
    assert answer.status_code == 409
    assert start(operator, name="another", model="fashion-mnist").status_code == 303


def test_the_api_and_the_shell_say_the_same(
    operator: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = operator.service.settings.database_url.get_secret_value()
    monkeypatch.setenv("VISION_DATABASE_URL", url)
    told = ["--variant", f"old=1@{OLD}", "--variant", f"new=2@{NEW}", "--share", "new=3"]
    assert main(["experiment", "start", "new-shirt", "--model", "mnist", *told]) == 0
    body = {"email": EMAIL, "password": PASSWORD}
    token = operator.http.post("/api/v1/sessions", json=body).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    found = operator.http.get(f"{API}/new-shirt", headers=headers).json()
    assert [v["expected_share"] for v in found["variants"]] == [0.25, 0.75]
    changed = operator.http.patch(
        f"{API}/new-shirt", headers=headers, json={"shares": {"new": 1}, "percent": 10}
    ).json()
    assert (changed["variants"][1]["share"], changed["percent"]) == (1, 10)
    answered(operator, "old", "1", 30)
    answered(operator, "new", "3", 30)
    # Nothing is changed, so nothing that was counted is left out.
    empty = operator.http.patch(f"{API}/new-shirt", headers=headers, json={"shares": {}})
    assert (empty.status_code, empty.json()["field"]) == (400, "shares")
    assert main(["experiment", "shares", "new-shirt"]) == 1
    assert "name a variant's share" in capsys.readouterr().err
    assert main(["experiment", "status", "new-shirt"]) == 10
    assert "150 of 150 answers of new were not of revision 2" in capsys.readouterr().out
    stopped = operator.http.post(f"{API}/new-shirt/stop", headers=headers, json={"why": "done"})
    assert stopped.json()["stopped_ms"]
    assert main(["experiment", "stop", "new-shirt"]) == 1
    assert "no experiment new-shirt is running" in capsys.readouterr().err
    assert main(["experiment", "list"]) == 0
    assert "stopped" in capsys.readouterr().out


def test_right_answers_that_come_later_are_counted_by_variant(operator: Browser) -> None:
    start(operator)
    for variant, revision in (("old", "1"), ("new", "2")):
        answered(operator, variant, revision, 150)
    with operator.service.database.write() as session:
        for event in session.scalars(select(Event)).all():
            # The new one is wrong of two thirds.
            wrong = event.variant == "new" and int(event.subject[3:]) % 3
            session.add(
                Feedback(
                    account_id=event.account_id,
                    request_id=event.request_id,
                    instance=0,
                    model="mnist",
                    revision=event.revision,
                    predicted="7",
                    probability=0.9,
                    unsure=False,
                    predicted_ms=event.completed_ms,
                    label="1" if wrong else "7",
                    words=1,
                    given_ms=event.completed_ms,
                )
            )
    assert "New is worse in wrong predictions." in operator.page("/operator/experiments/new-shirt")
