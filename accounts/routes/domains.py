"""``/api/v1/domains``: a customer's own names."""

# Without postponed annotations: FastAPI could not resolve those that name what is in a function.
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from accounts import domains
from accounts.domains import DomainView
from accounts.keys import ALL_MODELS
from accounts.people import Login
from accounts.service import Service


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[str] = [ALL_MODELS]
    rate_per_second: int | None = None


class NewDomain(Limits):
    name: str


def own_host(service: Service) -> str:
    """What people call the service, without a port."""
    return urlsplit(service.settings.public_url).hostname or ""


def domains_api(service: Service, who: Callable[..., Login]) -> APIRouter:
    """The routes, on a service.

    Args:
        who: the dependency that says who asks.
    """
    router = APIRouter(prefix="/domains")
    database = service.database

    Who = Annotated[Login, Depends(who)]

    @router.get("")
    def list_domains(login: Who) -> list[dict[str, Any]]:
        with database.read() as session:
            return [shown(view) for view in domains.listed(session, login.account_id)]

    @router.post("", status_code=201)
    def add(body: NewDomain, login: Who) -> dict[str, Any]:
        with database.write() as session:
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
    def set_limits(name: str, body: Limits, login: Who) -> dict[str, Any]:
        models = tuple(body.models)
        with database.write() as session:
            view = domains.set_limits(session, login.account_id, name, models, body.rate_per_second)
        return shown(view)

    @router.post("/{name}/check", status_code=202)
    def look_now(name: str, login: Who) -> dict[str, str]:
        with database.write() as session:
            domains.look_now(session, login.account_id, name)
        return {"next": "its proof is looked for; ask again in a few seconds"}

    @router.delete("/{name}", status_code=202)
    def remove(name: str, login: Who) -> dict[str, str]:
        with database.write() as session:
            domains.remove(session, login.account_id, name)
        return {"next": "it is taken away with its certificate"}

    return router


def shown(view: DomainView) -> dict[str, Any]:
    """With what proves it."""
    proof = {
        "dns": {"type": "TXT", "name": view.txt_name, "value": view.txt_value},
        "http": {"path": view.file_path, "text": view.token},
    }
    return {**asdict(view), "proof": proof}
