"""``/api/v1/accuracy``, ``/confusion``: of what customers have said was right."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, cast, get_args

from fastapi import APIRouter

from accounts import accuracy
from accounts.errors import InvalidValueError
from accounts.people import Login
from accounts.routes.asking import Behind, Span, Who, holder_of

router = APIRouter()

SeesOperations = Annotated[Login, holder_of("operations")]


def parts_or_refuse(by: str) -> tuple[accuracy.Part, ...]:
    """What rows are split by, with commas between; raises InvalidValueError."""
    parts = tuple(part for part in by.split(",") if part)
    for part in parts:
        if part not in get_args(accuracy.Part):
            known = ", ".join(get_args(accuracy.Part))
            raise InvalidValueError(f"{part[:20]!r} is none of {known}", "by")
    return cast("tuple[accuracy.Part, ...]", parts)


@router.get("/accuracy")
def own_accuracy(
    login: Who, service: Behind, time: Span, model: str | None = None, by: str = "revision"
) -> list[dict[str, Any]]:
    scope = accuracy.Scope(*time, login.account_id, model)
    with service.database.read() as session:
        return [asdict(row) for row in accuracy.accuracy(session, scope, parts_or_refuse(by))]


@router.get("/confusion")
def own_confusion(
    login: Who, service: Behind, time: Span, model: str, revision: str | None = None
) -> list[dict[str, Any]]:
    scope = accuracy.Scope(*time, login.account_id, model, revision)
    with service.database.read() as session:
        return [asdict(row) for row in accuracy.confusion(session, scope)]


@router.get("/operator/accuracy")
def all_accuracy(
    _: SeesOperations,
    service: Behind,
    time: Span,
    model: str | None = None,
    by: str = "revision",
    account: str | None = None,
) -> list[dict[str, Any]]:
    scope = accuracy.Scope(*time, account, model)
    with service.database.read() as session:
        return [asdict(row) for row in accuracy.accuracy(session, scope, parts_or_refuse(by))]


@router.get("/operator/confusion")
def all_confusion(
    _: SeesOperations,
    service: Behind,
    time: Span,
    model: str,
    revision: str | None = None,
    account: str | None = None,
) -> list[dict[str, Any]]:
    scope = accuracy.Scope(*time, account, model, revision)
    with service.database.read() as session:
        return [asdict(row) for row in accuracy.confusion(session, scope)]
