"""What the check and the meter count, asked as Envoy asks them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.orm import Session

from edge.ledger import Ledger, LedgerDownError
from tests.accounts.conftest import account, engine, session  # noqa: F401
from tests.edge.test_check import Edge, edge, key_of  # noqa: F401


@pytest.fixture
def key(session: Session, account: str) -> str:  # noqa: F811
    found: str = key_of(session, account).key
    return found


def now(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def of(code: str, revision: str = "2", model: str = "mnist") -> dict[str, str]:
    return {"model_name": model, "revision": revision, "customer_class": "key", "code": code}


async def test_checks_are_counted_by_what_became_of_them(edge: Edge, key: str) -> None:  # noqa: F811
    def counts() -> list[float]:
        outcomes = ("allowed", "unauthorized", "not_found")
        return [now("vision_edge_checks_total", outcome=outcome) for outcome in outcomes]

    before, timed = counts(), now("vision_edge_check_seconds_count")
    await edge.ask(key, "r1")
    await edge.ask(None, "r2")
    await edge.ask(key, "r3", path="/v9/nothing")
    assert [b - a for a, b in zip(before, counts(), strict=True)] == [1, 1, 1]
    assert now("vision_edge_check_seconds_count") - timed == 3
    assert now("vision_edge_requests_in_progress") >= 1


async def test_answers_are_counted_with_what_they_were(edge: Edge, key: str) -> None:  # noqa: F811
    answered = {"model_name": "mnist", "revision": "2", "customer_class": "key"}
    names = ("instances_total", "pixels_total", "request_bytes_total", "response_bytes_total")

    def counts() -> list[float]:
        return [
            now("vision_edge_requests_total", **of("200")),
            now("vision_edge_requests_total", **of("503", "")),
            now("vision_edge_request_seconds_count", **answered),
            *(now(f"vision_edge_{name}", **answered) for name in names),
        ]

    before = counts()
    await edge.end(await edge.ask(key, "r1"))
    await edge.end(await edge.ask(key, "r2"), status="503")
    assert [b - a for a, b in zip(before, counts(), strict=True)] == [1, 1, 1, 1, 784, 500, 90]


async def test_keys_in_use_that_end_within_a_week_are_counted(
    edge: Edge,  # noqa: F811
    session: Session,  # noqa: F811
    account: str,  # noqa: F811
) -> None:
    before = now("vision_edge_keys_expiring")
    for number, days in enumerate((6, 8, None)):
        await edge.ask(key_of(session, account, days=days).key, f"r{number}")
    assert now("vision_edge_keys_expiring") - before == 1


async def test_models_that_have_never_answered_are_no_labels(edge: Edge, key: str) -> None:  # noqa: F811
    before = now("vision_edge_requests_total", **of("404", "", ""))
    await edge.end(await edge.ask(key, "r1", path="/v1/models/made-up:predict"), status="404")
    assert now("vision_edge_requests_total", **of("404", "", "")) - before == 1
    assert now("vision_edge_requests_total", **of("404", "", "made-up")) == 0


async def test_the_ledgers_lag_is_that_of_what_waits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ledger.waiting, ledger.lag_seconds) == (0, 0)
    before = now("vision_edge_ledger_seconds_count", outcome="failed")

    def broken(_: Any) -> Any:
        assert ledger.waiting == 1
        assert ledger.lag_seconds >= 0
        raise OSError("the disk is full")

    monkeypatch.setattr(ledger, "_transact", broken)
    with pytest.raises(LedgerDownError):
        await ledger.look_up(["x"])
    assert ledger.waiting == 0
    assert now("vision_edge_ledger_seconds_count", outcome="failed") - before == 1
