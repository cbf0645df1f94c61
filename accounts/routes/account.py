"""``/api/v1``: registration, sessions, and one's own account."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import SecretStr

from accounts.routes.asking import Behind, Body, Token, Who

router = APIRouter()


class Registration(Body):
    email: str
    password: SecretStr


class Verification(Body):
    token: str
    password: SecretStr


class PasswordChange(Body):
    old: SecretStr
    new: SecretStr


class Closing(Body):
    password: SecretStr


@router.post("/registrations", status_code=202)
def register(body: Registration, request: Request, service: Behind) -> dict[str, str]:
    service.people.register(body.email, body.password.get_secret_value(), service.client(request))
    return {"next": "open the link in the mail"}


@router.post("/verifications", status_code=204)
def verify(body: Verification, service: Behind) -> None:
    service.people.verify(body.token, body.password.get_secret_value())


@router.post("/sessions", status_code=201)
def log_in(body: Registration, request: Request, service: Behind) -> dict[str, Any]:
    opened = service.people.log_in(
        body.email, body.password.get_secret_value(), service.client(request)
    )
    return {"token": opened.token, "expires_ms": opened.expires_ms}


@router.delete("/sessions/current", status_code=204)
def log_out(token: Token, service: Behind) -> None:
    service.people.log_out(token)


@router.get("/account")
def account(login: Who) -> dict[str, Any]:
    return {
        "id": login.account_id,
        "email": login.email,
        "roles": list(login.roles),
        "rights": sorted(login.rights),
    }


@router.post("/account/password", status_code=204)
def change_password(body: PasswordChange, login: Who, service: Behind) -> None:
    service.people.change_password(
        login.account_id, body.old.get_secret_value(), body.new.get_secret_value()
    )


@router.post("/account/closing", status_code=204)
def close(body: Closing, login: Who, service: Behind) -> None:
    service.people.close(login.account_id, body.password.get_secret_value())
