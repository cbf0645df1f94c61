"""What runs on the morning: the edge and the stable revision behind it, and a canary beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.database import open_database
from accounts.keys import MAX_RATE, KeyRequest, make_key
from accounts.migration import migrate
from accounts.secret_tokens import new_id
from accounts.tables import Account
from benchmarks.processes import tree
from common.ports import LOCAL_HOST
from common.processes import ROOT, Processes
from edge.processes import Edge, free_edge_ports
from local.service import LocalService, free_ports, interpreters

MODEL = "mnist"
STABLE, CANARY = "2", "1"


@dataclass(frozen=True)
class Town:
    """Attributes:
    edge: Envoy's port.
    key: a customer's.
    metrics: ``host:port`` of the edge's.
    """

    stable: LocalService
    canary: LocalService
    edge: int
    key: str
    metrics: str

    @property
    def targets(self) -> dict[str, list[str]]:
        """Where metrics are, by component."""
        both = (self.stable, self.canary)
        return {
            "transformer": [service.url.removeprefix("http://") for service in both],
            "predictor": [service.predictor_url.removeprefix("http://") for service in both],
            "edge": [self.metrics],
        }

    @staticmethod
    def predictor(service: LocalService) -> list[int]:
        """Its processes."""
        return sorted(tree([service.pid("predictor")]))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Town]:
    """All of it, with accounts of its own.

    Raises:
        StartError: something is not installed or does not start.
    """
    database = f"sqlite:///{folder / 'accounts.db'}"
    migrate(database)
    environment = {
        "VISION_DATABASE_URL": database,
        "VISION_DEVELOPMENT": "true",
        "VISION_TRIES_PER_DAY": "100000",
        "VISION_TRIES_IN_ALL": "100000",
        "VISION_ACCOUNT_IN_FLIGHT": "256",
    }

    def service(revision: str) -> LocalService:
        return LocalService(
            free_ports(),
            interpreters(),
            ROOT / "models",
            {MODEL: revision},
            folder / f"revision-{revision}",
            alone=True,
        )

    with service(STABLE) as stable, service(CANARY) as canary, Processes(folder) as processes:
        ports = free_edge_ports(stable.ports.http)
        edge = Edge(processes, ports, folder, environment)
        for name in ("check", "envoy"):
            edge.start(name)
        metrics = f"{LOCAL_HOST}:{ports.metrics}"
        yield Town(stable, canary, ports.edge, _key(database), metrics)


def _key(database: str) -> str:
    """Of a customer who may ask as often as anybody may."""
    engine = open_database(database)
    with Session(engine) as session:
        account = Account(
            id=new_id("acc"),
            email="ada@example.org",
            role="user",
            created_ms=now_ms(),
            verified_ms=now_ms(),
        )
        session.add(account)
        key = make_key(session, account.id, KeyRequest("morning", rate_per_second=MAX_RATE)).key
        session.commit()
    engine.dispose()
    return key
