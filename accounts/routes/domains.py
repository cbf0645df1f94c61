"""``/api/v1/domains``: a customer's own names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import Field

from accounts import domains
from accounts.domains import DomainView
from accounts.keys import ALL_MODELS
from accounts.routes.asking import Behind, Body, Who
from accounts.service import Service

router = APIRouter(prefix="/domains")


class Limits(Body):
    models: list[str] = Field([ALL_MODELS])
    rate_per_second: int | None = None


class NewDomain(Limits):
    name: str


def own_host(service: Service) -> str:
    """What people call the service, without a port."""
    return urlsplit(service.settings.public_url).hostname or ""


@router.get("")
def list_domains(login: Who, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [shown(view) for view in domains.listed(session, login.account_id)]


@router.post("", status_code=201)
def add(body: NewDomain, login: Who, service: Behind) -> dict[str, Any]:
    with service.database.write() as session:
        view = domains.add(
            session,
            login.account_id,
            body.name,
            own_host(service),
            tuple(body.models),
            body.rate_per_second,
        )
    return shown(view)


@router.put("/{name}/limits")
def set_limits(name: str, body: Limits, login: Who, service: Behind) -> dict[str, Any]:
    models = tuple(body.models)
    with service.database.write() as session:
        view = domains.set_limits(session, login.account_id, name, models, body.rate_per_second)
    return shown(view)


@router.post("/{name}/check", status_code=202)
def look_now(name: str, login: Who, service: Behind) -> dict[str, str]:
    with service.database.write() as session:
        domains.look_now(session, login.account_id, name)
    return {"next": "its proof is looked for; ask again in a few seconds"}


@router.delete("/{name}", status_code=202)
def remove(name: str, login: Who, service: Behind) -> dict[str, str]:
    with service.database.write() as session:
        domains.remove(session, login.account_id, name)
    return {"next": "it is taken away with its certificate"}


def shown(view: DomainView) -> dict[str, Any]:
    """With what proves it."""
    proof = {
        "dns": {"type": "TXT", "name": view.txt_name, "value": view.txt_value},
        "http": {"path": view.file_path, "text": view.token},
    }
    return {**asdict(view), "proof": proof}
