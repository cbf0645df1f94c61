"""``/api/v1/captures``: pictures that a customer lets us keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from accounts import captures
from accounts.errors import InvalidValueError, NotFoundError
from accounts.routes.asking import Behind, Body, Who

router = APIRouter()


class CaptureWish(Body):
    percent: float
    max_bytes: int
    days: int


def store_of(service: Behind) -> captures.Captures:
    """Raises NotFoundError where none is kept."""
    if service.captures is None:
        raise NotFoundError("no pictures are kept here")
    return service.captures


Store = Annotated[captures.Captures, Depends(store_of)]


@router.get("/captures")
def show_captures(login: Who, service: Behind, _: Store) -> dict[str, Any]:
    with service.database.read() as session:
        chosen = captures.choices(session, login.account_id)
        kept = captures.kept(session, login.account_id)
    return {"choices": [asdict(row) for row in chosen], "kept": [asdict(row) for row in kept]}


@router.put("/captures/choices/{model}", status_code=204)
def choose_captures(model: str, body: CaptureWish, login: Who, service: Behind, _: Store) -> None:
    choice = captures.Choice(model, body.percent, body.max_bytes, body.days)
    with service.database.write() as session:
        captures.choose(session, login.account_id, choice)


@router.delete("/captures/choices/{model}", status_code=204)
def stop_captures(model: str, login: Who, service: Behind) -> None:
    with service.database.write() as session:
        captures.stop(session, login.account_id, model)


@router.delete("/captures")
def delete_captures(
    login: Who, store: Store, request_id: str | None = None, everything: bool = False
) -> dict[str, int]:
    if everything == (request_id is not None):
        raise InvalidValueError("name a request_id, or say everything=true", "request_id")
    return {"deleted": store.forget(login.account_id, request_id)}
