"""``/api/v1/invoices``: one's own bills, and everybody's."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response

from accounts import invoices
from accounts.clock import month_bounds, month_of, now_ms
from accounts.errors import InvalidValueError
from accounts.invoice_pdf import invoice_pdf
from accounts.people import Login
from accounts.routes.asking import Behind, Who, holder_of
from accounts.routes.reason import Reason
from accounts.service import Service

router = APIRouter()

Format = Literal["json", "csv", "pdf"]


def month_or_refuse(month: str) -> str:
    """Raises InvalidValueError if it is no month."""
    try:
        month_bounds(month)
    except ValueError:
        raise InvalidValueError(f"{month[:20]!r} is no month such as 2026-11", "month") from None
    return month


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


def bill_response(bill: invoices.Bill, form: str) -> Response:
    """A bill as a file of a form."""
    name = f"invoice-{bill.month}.{form}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    if form == "pdf":
        return Response(invoice_pdf(bill), media_type="application/pdf", headers=headers)
    if form == "csv":
        return Response(invoices.as_csv(bill), media_type="text/csv", headers=headers)
    return Response(json.dumps(bill.as_json()), media_type="application/json")


@router.get("/invoices")
def list_invoices(login: Who, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [bill.as_json() for bill in invoices.issued(session, login.account_id)]


@router.get("/invoices/{month}")
def invoice(month: str, login: Who, service: Behind, form: Format = "json") -> Response:
    return bill_response(bill_of(service, login.account_id, month), form)


@router.get("/operator/invoices")
def bills(
    _: Annotated[Login, holder_of("bills")], service: Behind, account: str | None = None
) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [bill.as_json() for bill in invoices.issued(session, account)]


@router.post("/operator/invoices/{number}/void")
def void(
    number: int, body: Reason, login: Annotated[Login, holder_of("void-bills")], service: Behind
) -> dict[str, str]:
    with service.database.write() as session:
        return {"month": invoices.void(session, number, login.account_id, body.why)}
