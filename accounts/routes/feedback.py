"""``/v1/feedback``: right answers from programs, with the key that they predict with."""

# Without postponed annotations: FastAPI could not resolve those that name what is in a function.
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from accounts import accuracy, audit, keys
from accounts.api import parts_or_refuse
from accounts.errors import ForbiddenError, InvalidValueError, NotFoundError
from accounts.feedback import CALLS, Labels, RightAnswer, Taken, disagreements, take
from accounts.feedback_metrics import TALLY
from accounts.service import Service
from accounts.staff_api import Span
from accounts.throttle import Subject, count_attempt

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


def feedback_api(service: Service, labels: Labels) -> APIRouter:
    """The routes, on a service.

    Args:
        labels: of what is served.
    """
    router = APIRouter(prefix="/v1/feedback")
    database = service.database

    def bearer(request: Request) -> keys.Bearer:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        with database.read() as session:
            return keys.find_bearer(session, text.strip() if scheme.lower() == "bearer" else "")

    Shown = Annotated[keys.Bearer, Depends(bearer)]

    @router.post("")
    def give(body: Right | list[Right], who: Shown) -> dict[str, Any]:
        with database.write() as session:
            count_attempt(session, Subject(CALLS, who.account_id))
        said = body if isinstance(body, list) else [body]
        answers = [one.answer() for one in said]
        with database.write() as session:
            taken = take(session, who, answers, labels, service.settings.prediction_days)
        TALLY.count(taken)
        shown = [_shown(one) for one in taken]
        return {"feedback": shown} if isinstance(body, list) else shown[0]

    @router.get("/accuracy")
    def read(
        who: Shown,
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
        with database.read() as session:
            found = accuracy.accuracy(session, scope, parts_or_refuse(by))
        return [asdict(row) for row in found]

    @router.get("/disagreements")
    def wrong(
        who: Shown,
        span: Span,
        model: str,
        after: Annotated[str, Query(max_length=200)] = "",
    ) -> list[dict[str, Any]]:
        require_pictures(who)
        with database.read() as session:
            return [asdict(row) for row in disagreements(session, model, *span, after)]

    @router.get("/captures")
    def captured(who: Shown, account: str, request_id: str) -> Response:
        require_pictures(who)
        if service.captures is None:
            raise NotFoundError("no pictures are kept here")
        copy = service.captures.read(account, request_id)
        with database.write() as session:
            audit.record(session, "capture read", account, who.account_id, request_id)
        about = {"path": copy.path, "query": copy.query, "headers": dict(copy.headers)}
        return Response(
            copy.body,
            media_type="application/octet-stream",
            headers={"x-captured": json.dumps(about)},
        )

    return router


def require_pictures(who: keys.Bearer) -> None:
    """Raises ForbiddenError: not the key, or not its account's roles, may see what is kept."""
    if keys.READS_FEEDBACK not in who.scopes or PICTURES not in who.rights:
        raise ForbiddenError(
            f"that takes a key with {keys.READS_FEEDBACK}, of somebody with the right {PICTURES!r}"
        )


def _shown(taken: Taken) -> dict[str, Any]:
    return {**asdict(taken), "state": taken.state.value}
