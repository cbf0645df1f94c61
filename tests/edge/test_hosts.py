"""Whose domain a request is for, by the names that it may come under."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.domains import ACTIVE
from accounts.tables import Account, Domain
from edge.hosts import ORIGINAL_HOST, Hosts
from edge.ledger import Ledger

NAME = "pictures.example.org"


@pytest.mark.parametrize(
    ("host", "told", "is_served"),
    [
        (NAME, "", True),
        (f"{NAME.upper()}:8443", "", True),
        # The same name, said to be whole (RFC 1034, 3.1).
        (f"{NAME}.", "", True),
        ("vision.example.com", NAME, False),
        ("edge.vision.svc.cluster.local", NAME, True),
        # What a client has said stands before what Knative says.
        ("edge.vision.svc.cluster.local", f"vision.example.com, {NAME}", True),
        ("edge.vision.svc.cluster.local", f"{NAME}, vision.example.com", False),
    ],
)
async def test_a_domain_is_known_by_its_host(
    ledger: Ledger, session: Session, account: Account, host: str, told: str, is_served: bool
) -> None:
    values = {"token": "t", "problem": "", "tries": 0, "created_ms": now_ms(), "due_ms": now_ms()}
    session.add(Domain(name=NAME, account_id=account.id, state=ACTIVE, models="*", **values))
    session.commit()
    hosts = Hosts(ledger)
    await hosts.refresh()
    assert (hosts.find(host, {ORIGINAL_HOST: told}) is not None) == is_served
