"""The operators' page: who uses what, how traffic splits over revisions, what a canary does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import events, usage
from accounts.clock import DAY_MS, HOUR_MS, now_ms
from accounts.errors import NotFoundError
from accounts.house import HOUSE
from accounts.latency import BOUNDS_MS, latencies
from accounts.people import emails_of
from accounts.service import Service
from console.canary import Canary, read_canary
from console.evidence import HEIGHT, WIDTH
from console.pages import Pages
from console.visit import Visits

SPANS = {"hour": 2 * HOUR_MS, "day": DAY_MS, "month": 31 * DAY_MS}


def operator_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    database = service.database

    @router.get("/operator")
    def totals(request: Request, span: str = "day") -> Response:
        visit, login = visits.require(request)
        if not login.rights or span not in SPANS:
            # To everybody else the page does not exist.
            raise NotFoundError("there is nothing at this URL")
        end = now_ms() + 1
        start = (end - SPANS[span]) // HOUR_MS * HOUR_MS
        with database.read() as session:
            # What takes a right that somebody has not is not even read for them.
            sees_usage, sees_operations = login.may("usage"), login.may("operations")
            accounts = usage.per_account(session, start, end) if sees_usage else []
            reconciliation = events.reconcile(session) if sees_usage else None
            revisions = usage.per_revision(session, start, end) if sees_operations else []
            found = latencies(session, start, end) if sees_operations else []
            unknown = events.unknown(session) if login.may("events") else []
            emails = emails_of(session, [account.account_id for account in accounts])
        canary: Canary | None = read_canary(service.settings) if sees_operations else None
        return pages.render(
            request,
            visit,
            "operator",
            span=span,
            spans=list(SPANS),
            accounts=accounts,
            revisions=revisions,
            reconciliation=reconciliation,
            unknown=unknown,
            canary=canary,
            chart_size=(WIDTH, HEIGHT),
            latencies=found,
            bounds=BOUNDS_MS,
            emails=emails,
            house=HOUSE,
        )

    return router
