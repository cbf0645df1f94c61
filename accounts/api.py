"""The JSON API, under ``/api/v1``.

A session's token is sent as ``authorization: Bearer``, never as a cookie, so that no page of
somebody else can act in a person's name here.
"""

# Without postponed annotations: FastAPI could not resolve those that name what is in a function.
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, SecretStr

from accounts import accuracy, captures, events, invoices, keys, usage
from accounts.clock import month_bounds, month_of, now_ms
from accounts.csv_text import csv_lines
from accounts.domains_api import domains_api
from accounts.errors import InvalidValueError, NotFoundError, NotLoggedInError
from accounts.experiments_api import experiments_api
from accounts.invoice_pdf import invoice_pdf
from accounts.people import Login
from accounts.service import Service
from accounts.staff_api import From, Span, To, holder_of, span, staff_api

Format = Literal["json", "csv", "pdf"]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


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


class Rotation(Body):
    overlap_hours: int = 0


class CaptureWish(Body):
    percent: float
    max_bytes: int
    days: int


class NewKey(Body):
    name: str
    scopes: list[str] = [keys.ALL_MODELS]
    days: int | None = None
    quota_requests: int | None = None
    rate_per_second: int = keys.DEFAULT_RATE


def parts_or_refuse(by: str) -> tuple[accuracy.Part, ...]:
    """What rows are split by, with commas between; raises InvalidValueError."""
    parts = tuple(part for part in by.split(",") if part)
    for part in parts:
        if part not in get_args(accuracy.Part):
            known = ", ".join(get_args(accuracy.Part))
            raise InvalidValueError(f"{part[:20]!r} is none of {known}", "by")
    return cast("tuple[accuracy.Part, ...]", parts)


def month_or_refuse(month: str) -> str:
    """Raises InvalidValueError if it is no month."""
    try:
        month_bounds(month)
    except ValueError:
        raise InvalidValueError(f"{month[:20]!r} is no month such as 2026-11", "month") from None
    return month


def bill_response(bill: invoices.Bill, form: str) -> Response:
    """A bill as a file of a form."""
    name = f"invoice-{bill.month}.{form}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    if form == "pdf":
        return Response(invoice_pdf(bill), media_type="application/pdf", headers=headers)
    if form == "csv":
        return Response(invoices.as_csv(bill), media_type="text/csv", headers=headers)
    return Response(json.dumps(bill.as_json()), media_type="application/json")


def events_as_csv(found: Iterator[events.RawEvent]) -> Iterator[str]:
    """A header, then a line an event."""
    rows = (asdict(event).values() for event in found)
    return csv_lines(chain([events.EVENT_FIELDS], rows))


def api(service: Service) -> APIRouter:
    """The routes, on a service."""
    router = APIRouter(prefix="/api/v1")
    database, people = service.database, service.people

    def token(request: Request) -> str:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise NotLoggedInError
        return text.strip()

    def who(text: Annotated[str, Depends(token)]) -> Login:
        return people.who(text)

    Who = Annotated[Login, Depends(who)]

    SeesOperations = Annotated[Login, holder_of(who, "operations")]
    SeesUsage = Annotated[Login, holder_of(who, "usage")]
    SeesEvents = Annotated[Login, holder_of(who, "events")]
    router.include_router(staff_api(service, who))
    router.include_router(experiments_api(service, who))
    router.include_router(domains_api(service, who))

    @router.post("/registrations", status_code=202)
    def register(body: Registration, request: Request) -> dict[str, str]:
        people.register(body.email, body.password.get_secret_value(), service.client(request))
        return {"next": "open the link in the mail"}

    @router.post("/verifications", status_code=204)
    def verify(body: Verification) -> None:
        people.verify(body.token, body.password.get_secret_value())

    @router.post("/sessions", status_code=201)
    def log_in(body: Registration, request: Request) -> dict[str, Any]:
        opened = people.log_in(
            body.email, body.password.get_secret_value(), service.client(request)
        )
        return {"token": opened.token, "expires_ms": opened.expires_ms}

    @router.delete("/sessions/current", status_code=204)
    def log_out(text: Annotated[str, Depends(token)]) -> None:
        people.log_out(text)

    @router.get("/account")
    def account(login: Who) -> dict[str, Any]:
        return {
            "id": login.account_id,
            "email": login.email,
            "roles": list(login.roles),
            "rights": sorted(login.rights),
        }

    @router.post("/account/password", status_code=204)
    def change_password(body: PasswordChange, login: Who) -> None:
        people.change_password(
            login.account_id, body.old.get_secret_value(), body.new.get_secret_value()
        )

    @router.post("/account/closing", status_code=204)
    def close(body: Closing, login: Who) -> None:
        people.close(login.account_id, body.password.get_secret_value())

    @router.get("/keys")
    def list_keys(login: Who) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(key) for key in keys.list_keys(session, login.account_id)]

    @router.post("/keys", status_code=201)
    def make_key(body: NewKey, login: Who) -> dict[str, str]:
        wish = keys.KeyRequest(
            body.name, tuple(body.scopes), body.days, body.quota_requests, body.rate_per_second
        )
        with database.write() as session:
            return asdict(keys.make_key(session, login.account_id, wish))

    @router.post("/keys/{key_id}/rotation", status_code=201)
    def rotate_key(key_id: str, login: Who, body: Rotation | None = None) -> dict[str, str]:
        hours = body.overlap_hours if body else 0
        with database.write() as session:
            return asdict(keys.rotate_key(session, login.account_id, key_id, hours))

    @router.delete("/keys/{key_id}", status_code=204)
    def revoke_key(key_id: str, login: Who) -> None:
        with database.write() as session:
            keys.revoke_key(session, login.account_id, key_id)

    @router.get("/usage")
    def windows(
        login: Who, start: From = None, end: To = None, size: usage.WindowSize = "day"
    ) -> list[dict[str, Any]]:
        with database.read() as session:
            found = usage.windows(session, login.account_id, *span(start, end), size)
        return [asdict(window) for window in found]

    @router.get("/events")
    def export(
        login: Who, start: From = None, end: To = None, form: Literal["ndjson", "csv"] = "ndjson"
    ) -> Response:
        return _export(login.account_id, start, end, form)

    @router.get("/events/unknown")
    def unknown(login: Who) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(event) for event in events.unknown(session, login.account_id)]

    @router.get("/accuracy")
    def own_accuracy(
        login: Who, time: Span, model: str | None = None, by: str = "revision"
    ) -> list[dict[str, Any]]:
        scope = accuracy.Scope(*time, login.account_id, model)
        with database.read() as session:
            return [asdict(row) for row in accuracy.accuracy(session, scope, parts_or_refuse(by))]

    @router.get("/confusion")
    def own_confusion(
        login: Who, time: Span, model: str, revision: str | None = None
    ) -> list[dict[str, Any]]:
        scope = accuracy.Scope(*time, login.account_id, model, revision)
        with database.read() as session:
            return [asdict(row) for row in accuracy.confusion(session, scope)]

    def store() -> captures.Captures:
        if service.captures is None:
            raise NotFoundError("no pictures are kept here")
        return service.captures

    @router.get("/captures")
    def show_captures(login: Who) -> dict[str, Any]:
        store()
        with database.read() as session:
            chosen = captures.choices(session, login.account_id)
            kept = captures.kept(session, login.account_id)
        return {"choices": [asdict(row) for row in chosen], "kept": [asdict(row) for row in kept]}

    @router.put("/captures/choices/{model}", status_code=204)
    def choose_captures(model: str, body: CaptureWish, login: Who) -> None:
        store()
        choice = captures.Choice(model, body.percent, body.max_bytes, body.days)
        with database.write() as session:
            captures.choose(session, login.account_id, choice)

    @router.delete("/captures/choices/{model}", status_code=204)
    def stop_captures(model: str, login: Who) -> None:
        with database.write() as session:
            captures.stop(session, login.account_id, model)

    @router.delete("/captures")
    def delete_captures(
        login: Who, request_id: str | None = None, everything: bool = False
    ) -> dict[str, int]:
        if everything == (request_id is not None):
            raise InvalidValueError("name a request_id, or say everything=true", "request_id")
        return {"deleted": store().forget(login.account_id, request_id)}

    @router.get("/invoices")
    def list_invoices(login: Who) -> list[dict[str, Any]]:
        with database.read() as session:
            return [bill.as_json() for bill in invoices.issued(session, login.account_id)]

    @router.get("/invoices/{month}")
    def invoice(month: str, login: Who, form: Format = "json") -> Response:
        return bill_response(bill_of(service, login.account_id, month), form)

    @router.get("/operator/accounts")
    def totals(_: SeesUsage, start: From = None, end: To = None) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(row) for row in usage.per_account(session, *span(start, end))]

    @router.get("/operator/revisions")
    def revisions(_: SeesOperations, start: From = None, end: To = None) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(row) for row in usage.per_revision(session, *span(start, end))]

    @router.get("/operator/accuracy")
    def all_accuracy(
        _: SeesOperations,
        time: Span,
        model: str | None = None,
        by: str = "revision",
        account: str | None = None,
    ) -> list[dict[str, Any]]:
        scope = accuracy.Scope(*time, account, model)
        with database.read() as session:
            return [asdict(row) for row in accuracy.accuracy(session, scope, parts_or_refuse(by))]

    @router.get("/operator/confusion")
    def all_confusion(
        _: SeesOperations,
        time: Span,
        model: str,
        revision: str | None = None,
        account: str | None = None,
    ) -> list[dict[str, Any]]:
        scope = accuracy.Scope(*time, account, model, revision)
        with database.read() as session:
            return [asdict(row) for row in accuracy.confusion(session, scope)]

    @router.get("/operator/reconciliation")
    def reconciliation(_: SeesUsage) -> dict[str, Any]:
        with database.read() as session:
            return asdict(events.reconcile(session))

    @router.get("/operator/events")
    def export_all(
        _: SeesEvents, start: From = None, end: To = None, form: Literal["ndjson", "csv"] = "ndjson"
    ) -> Response:
        return _export(None, start, end, form)

    @router.get("/operator/events/unknown")
    def all_unknown(_: SeesEvents) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(event) for event in events.unknown(session)]

    def _export(account_id: str | None, start: int | None, end: int | None, form: str) -> Response:
        first, last = span(start, end)

        def lines() -> Iterator[str]:
            with database.read() as session:
                found = events.export(session, first, last, account_id)
                if form == "csv":
                    yield from events_as_csv(found)
                else:
                    for event in found:
                        yield json.dumps(asdict(event)) + "\n"

        media_type = "text/csv" if form == "csv" else "application/x-ndjson"
        return StreamingResponse(lines(), media_type=media_type)

    return router


def bill_of(service: Service, account_id: str, month: str) -> invoices.Bill:
    """The issued bill of a month that is over, what has come together in the present one.

    Raises:
        InvalidValueError: no month, one to come, or one before the price list.
    """
    month = month_or_refuse(month)
    present = month_of(now_ms())
    if month > present:
        raise InvalidValueError("that month is to come", "month")
    with service.database.read() as session:
        if not invoices.is_over(session, month):
            return invoices.bill_so_far(session, account_id, month, service.prices)
        known = invoices.find_issued(session, account_id, month)
    if known is not None:
        return known
    with service.database.write() as session:
        return invoices.issue(session, account_id, month, service.prices)
