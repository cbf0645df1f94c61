"""``/v1/feedback``: right answers from programs, with the key that they predict with."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from accounts import accuracy, audit, keys
from accounts.errors import ForbiddenError, InvalidValueError
from accounts.feedback import CALLS, Labels, RightAnswer, Taken, disagreements, take
from accounts.feedback_metrics import TALLY
from accounts.routes.accuracy import parts_or_refuse
from accounts.routes.asking import Behind, Span, bearer
from accounts.routes.captures import Store
from accounts.throttle import Subject, count_attempt

router = APIRouter(prefix="/v1/feedback")

OPERATIONS, PICTURES = "operations", "pictures"
"""Rights of roles."""


class Right(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str
    label: str | None = None
    labels: list[str] | None = None
    instance: int = 0

    def answer(self) -> RightAnswer:
        """Raises InvalidValueError: it says both or nothing."""
        if (self.label is None) == (self.labels is None):
            raise InvalidValueError(
                "`label` says what it is; `labels` all that it has, where there may be several",
                "label",
            )
        labels = None if self.labels is None else tuple(self.labels)
        return RightAnswer(self.request_id, self.instance, self.label or "", labels)


def key_of(service: Behind, text: Annotated[str, Depends(bearer)]) -> keys.Bearer:
    with service.database.read() as session:
        return keys.find_bearer(session, text)


def labels_of(request: Request) -> Labels:
    """Of what is served, as the application was told."""
    found: Labels = request.app.state.labels
    return found


Shown = Annotated[keys.Bearer, Depends(key_of)]


@router.post("")
def give(
    body: Right | list[Right],
    who: Shown,
    service: Behind,
    labels: Annotated[Labels, Depends(labels_of)],
) -> dict[str, Any]:
    with service.database.write() as session:
        count_attempt(session, Subject(CALLS, who.account_id))
    said = body if isinstance(body, list) else [body]
    answers = [one.answer() for one in said]
    with service.database.write() as session:
        taken = take(session, who, answers, labels, service.settings.prediction_days)
    TALLY.count(taken)
    shown = [_shown(one) for one in taken]
    return {"feedback": shown} if isinstance(body, list) else shown[0]


@router.get("/accuracy")
def read(
    who: Shown,
    service: Behind,
    span: Span,
    model: str | None = None,
    by: Annotated[str, Query(max_length=40)] = "revision",
    account: str | None = None,
) -> list[dict[str, Any]]:
    if keys.READS_FEEDBACK not in who.scopes:
        raise ForbiddenError(f"this key has not the right {keys.READS_FEEDBACK}")
    # Whose account has the role reads everybody's.
    of = account if OPERATIONS in who.rights else who.account_id
    scope = accuracy.Scope(*span, of, model)
    with service.database.read() as session:
        found = accuracy.accuracy(session, scope, parts_or_refuse(by))
    return [asdict(row) for row in found]


def who_sees_pictures(who: Shown) -> keys.Bearer:
    """Raises ForbiddenError: not the key, or not its account's roles, may see what is kept."""
    if keys.READS_FEEDBACK not in who.scopes or PICTURES not in who.rights:
        raise ForbiddenError(
            f"that takes a key with {keys.READS_FEEDBACK}, of somebody with the right {PICTURES!r}"
        )
    return who


SeesPictures = Annotated[keys.Bearer, Depends(who_sees_pictures)]


@router.get("/disagreements")
def wrong(
    _: SeesPictures,
    service: Behind,
    span: Span,
    model: str,
    after: Annotated[str, Query(max_length=200)] = "",
) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(row) for row in disagreements(session, model, *span, after)]


@router.get("/captures")
def captured(
    who: SeesPictures, service: Behind, store: Store, account: str, request_id: str
) -> Response:
    copy = store.read(account, request_id)
    with service.database.write() as session:
        audit.record(session, "capture read", account, who.account_id, request_id)
    about = {"path": copy.path, "query": copy.query, "headers": dict(copy.headers)}
    return Response(
        copy.body,
        media_type="application/octet-stream",
        headers={"x-captured": json.dumps(about)},
    )


def _shown(taken: Taken) -> dict[str, Any]:
    return {**asdict(taken), "state": taken.state.value}
