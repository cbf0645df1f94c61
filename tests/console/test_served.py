"""The card before the first answer is that of the revision which is served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from accounts.clock import HOUR_MS, now_ms
from accounts.service import Service
from accounts.settings import AccountsSettings
from accounts.tables import UsageHour
from console.app import create_app
from console.canary import STABLE
from rollout.record import STABLE as ROLLOUT_STABLE
from tests.conftest import ROOT
from tests.console.record import served

CARD = (ROOT / "models" / "mnist" / "2" / "model.json").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for revision in ("7", "8", "9"):
        folder = tmp_path / "cards" / "mnist" / revision
        folder.mkdir(parents=True)
        folder.joinpath("model.json").write_text(CARD)
    return tmp_path / "cards"


def shown(service: Service, root: Path, models: str = "mnist", rollout_url: str = "") -> str:
    settings = AccountsSettings(
        development=True, models=models, model_root=root, rollout_url=rollout_url
    )
    with TestClient(create_app(replace(service, settings=settings))) as client:
        text = client.get("/").text
    offered = json.loads(text.partition('id="models">')[2].partition("</script>")[0])
    (revision,) = {model["revision"] for model in offered}
    assert f'data-model="mnist" data-revision="{revision}"' in text
    return str(revision)


def answered(session: Session, revision: str, requests: int, hours_ago: int = 0) -> None:
    numbers = dict.fromkeys(
        (
            *("failures", "instances", "pixels", "request_bytes", "response_bytes"),
            *("milliseconds", "unanswered_milliseconds"),
        ),
        0,
    )
    hour = (now_ms() // HOUR_MS - hours_ago) * HOUR_MS
    session.add(
        UsageHour(
            account_id="house",
            hour_ms=hour,
            key_id="key",
            model="mnist",
            revision=revision,
            requests=requests,
            **numbers,
        )
    )


def test_where_nobody_knows_it_is_the_newest(service: Service, root: Path) -> None:
    assert shown(service, root) == "9"
    # Older settings name the task there.
    assert shown(service, root, "mnist=classification") == "9"


def test_it_is_the_one_that_the_service_was_told(service: Service, root: Path) -> None:
    assert shown(service, root, "mnist=7") == "7"


def test_it_is_the_one_that_answers_most(service: Service, root: Path) -> None:
    with service.database.write() as session:
        answered(session, "9", 10, hours_ago=30)
        answered(session, "8", 90)
        answered(session, "9", 10)
        answered(session, "gone", 0)
    assert shown(service, root) == "8"
    assert shown(service, root, "mnist=7") == "7"


def test_of_a_model_that_nobody_has_asked_it_is_what_the_rollouts_have_live(
    service: Service, root: Path
) -> None:
    """As on a cluster that is at zero: nothing is woken for a card."""
    entries = [
        {"number": 1, "action": "found", "models": {"mnist": "7"}},
        {"number": 2, "action": "promoted", "models": {"mnist": "8"}},
        {"number": 3, "action": "discarded", "models": {"mnist": "9"}},
    ]
    with served({"history": json.dumps(entries)}) as url:
        assert shown(service, root, rollout_url=url) == "8"
        with service.database.write() as session:
            answered(session, "7", 1)
        assert shown(service, root, rollout_url=url) == "7"
    with served({"history": "{"}) as url:
        assert shown(service, root, rollout_url=url) == "7"


def test_what_the_record_calls_stable_is_the_rollouts_own_word() -> None:
    assert tuple(action.value for action in ROLLOUT_STABLE) == STABLE
