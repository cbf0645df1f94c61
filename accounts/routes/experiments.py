"""``/api/v1/operator/experiments``: several revisions of a model beside each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from accounts import experiments
from accounts.experiment_report import report
from accounts.people import Login
from accounts.rollout_record import require_apart
from accounts.routes.asking import Behind, Body, holder_of

router = APIRouter(prefix="/operator/experiments")

Viewer = Annotated[Login, holder_of("operations")]
Deployer = Annotated[Login, holder_of("experiments")]


class NewVariant(Body):
    name: str
    revision: str
    target: str
    share: int = 1


class NewShadow(Body):
    revision: str
    target: str
    percent: int = 100


class NewExperiment(Body):
    name: str
    model: str
    variants: list[NewVariant]
    sticky_by: str = experiments.CUSTOMER
    percent: int = 100
    shadow: NewShadow | None = None
    why: str = ""

    def plan(self) -> experiments.Plan:
        return experiments.Plan(
            self.name,
            self.model,
            tuple(experiments.Variant(**dict(variant)) for variant in self.variants),
            self.sticky_by,
            self.percent,
            experiments.Shadow(**dict(self.shadow)) if self.shadow else None,
        )


class Shares(Body):
    shares: dict[str, int] = Field({})
    percent: int | None = None
    why: str = ""


class Stop(Body):
    why: str = ""


@router.get("")
def list_experiments(_: Viewer, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(view) for view in experiments.listed(session)]


@router.post("", status_code=201)
def start(body: NewExperiment, login: Deployer, service: Behind) -> dict[str, Any]:
    plan = body.plan()
    require_apart(service.settings, plan)
    with service.database.write() as session:
        return asdict(experiments.start(session, plan, login.account_id, body.why))


@router.get("/{name}")
def show(name: str, _: Viewer, service: Behind) -> dict[str, Any]:
    with service.database.read() as session:
        return asdict(report(session, experiments.find(session, name)))


@router.patch("/{name}")
def set_shares(name: str, body: Shares, login: Deployer, service: Behind) -> dict[str, Any]:
    with service.database.write() as session:
        wanted = (body.shares, login.account_id, body.percent, body.why)
        return asdict(experiments.set_shares(session, name, *wanted))


@router.post("/{name}/stop")
def stop(name: str, login: Deployer, service: Behind, body: Stop | None = None) -> dict[str, Any]:
    why = body.why if body else ""
    with service.database.write() as session:
        return asdict(experiments.stop(session, name, login.account_id, why))
