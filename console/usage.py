"""The page of what a person has used, and may use yet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import events, invoices, keys, usage
from accounts.clock import month_bounds, month_of, now_ms
from accounts.invoices import Bill
from accounts.prices import PriceList
from accounts.routes.invoices import month_or_refuse
from accounts.service import Service
from console.pages import Pages
from console.plot import HEIGHT, WIDTH, daily_bars
from console.visit import Visits

LATEST = 20


@dataclass(frozen=True)
class Allowance:
    """Units of a model that cost nothing in a month."""

    model: str
    unit: str
    used: Decimal
    free: Decimal

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.free - self.used)


def allowances(bill: Bill, prices: PriceList) -> list[Allowance]:
    """Of what a bill has lines for."""
    period = prices.of_month(bill.month)
    found = []
    for line in bill.lines:
        free = period.of(line.model)[line.unit].free
        if free:
            found.append(Allowance(line.model, line.unit, Decimal(line.quantity), free))
    return found


def usage_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    database = service.database

    @router.get("/usage")
    def usage_page(request: Request, month: str = "") -> Response:
        visit, login = visits.require(request)
        month = month_or_refuse(month or month_of(now_ms()))
        start, end = month_bounds(month)
        with database.read() as session:
            windows = usage.windows(session, login.account_id, start, end, "day")
            latest = events.latest(session, login.account_id, LATEST)
            unknown = events.unknown(session, login.account_id)
            listed = keys.list_keys(session, login.account_id)
            bill = invoices.bill_so_far(session, login.account_id, month, service.prices)
        return pages.render(
            request,
            visit,
            "usage",
            month=month,
            months=_months(month),
            windows=windows,
            totals={
                name: sum(getattr(window, name) for window in windows)
                for name in ("requests", "failures", "instances", "pixels")
            },
            allowances=allowances(bill, service.prices),
            quotas=[key for key in listed if key.works and key.quota_requests is not None],
            plot=daily_bars(windows, start, end),
            size=(WIDTH, HEIGHT),
            names={key.id: key.name for key in listed},
            latest=latest,
            unknown=unknown,
        )

    return router


def _months(month: str) -> tuple[str, str | None]:
    """The month before, and the one after unless it is to come."""
    start, end = month_bounds(month)
    after = month_of(end)
    return month_of(start - 1), after if after <= month_of(now_ms()) else None
