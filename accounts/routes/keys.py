"""``/api/v1/keys``: one's own; and anybody's, which an operator revokes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from accounts import keys
from accounts.people import Login
from accounts.routes.asking import Behind, Body, Who, holder_of
from accounts.routes.reason import Reason

router = APIRouter()


class Rotation(Body):
    overlap_hours: int = 0


class NewKey(Body):
    name: str
    scopes: list[str] = Field([keys.ALL_MODELS])
    days: int | None = None
    quota_requests: int | None = None
    rate_per_second: int = keys.DEFAULT_RATE


@router.get("/keys")
def list_keys(login: Who, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(key) for key in keys.list_keys(session, login.account_id)]


@router.post("/keys", status_code=201)
def make_key(body: NewKey, login: Who, service: Behind) -> dict[str, str]:
    wish = keys.KeyRequest(
        body.name, tuple(body.scopes), body.days, body.quota_requests, body.rate_per_second
    )
    with service.database.write() as session:
        return asdict(keys.make_key(session, login.account_id, wish))


@router.post("/keys/{key_id}/rotation", status_code=201)
def rotate_key(
    key_id: str, login: Who, service: Behind, body: Rotation | None = None
) -> dict[str, str]:
    hours = body.overlap_hours if body else 0
    with service.database.write() as session:
        return asdict(keys.rotate_key(session, login.account_id, key_id, hours))


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, login: Who, service: Behind) -> None:
    with service.database.write() as session:
        keys.revoke_key(session, login.account_id, key_id)


@router.post("/operator/keys/{key_id}/revocation", name="revoke_key", status_code=204)
def revoke_any_key(
    key_id: str, body: Reason, login: Annotated[Login, holder_of("revoke-keys")], service: Behind
) -> None:
    with service.database.write() as session:
        keys.revoke_any_key(session, key_id, login.account_id, body.why)
