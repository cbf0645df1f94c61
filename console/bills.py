"""The page of a person's bills, and each as a file."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import invoices
from accounts.clock import month_of, now_ms
from accounts.routes.invoices import Format, bill_of, bill_response
from accounts.service import Service
from console.pages import Pages
from console.visit import Visits


def bill_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/invoices")
    def invoices_page(request: Request) -> Response:
        visit, login = visits.require(request)
        with service.database.read() as session:
            present = invoices.bill_so_far(
                session, login.account_id, month_of(now_ms()), service.prices
            )
            issued = invoices.issued(session, login.account_id)
        return pages.render(request, visit, "invoices", present=present, issued=issued)

    @router.get("/invoices/{month}.{form}")
    def invoice(request: Request, month: str, form: Format) -> Response:
        _, login = visits.require(request)
        return bill_response(bill_of(service, login.account_id, month), form)

    return router
