"""Pages of people who are logged in: keys, usage, bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import events, invoices, keys, usage
from accounts.api import Format, bill_of, bill_response, month_or_refuse
from accounts.clock import month_bounds, month_of, now_ms
from accounts.errors import AccountsError, InvalidValueError, NotLoggedInError
from accounts.people import Login
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.plot import HEIGHT, WIDTH, daily_bars
from console.visit import Visit, Visits

LATEST = 20
KEY_FIELDS = ("name", "days", "quota_requests", "rate_per_second")


def member_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """Keys, usage and bills."""
    router = APIRouter(include_in_schema=False)
    database = service.database
    models = service.settings.models.split()

    def require(request: Request) -> tuple[Visit, Login]:
        visit = visits.of(request)
        if visit.login is None:
            raise NotLoggedInError
        return visit, visit.login

    def keys_page(
        request: Request,
        visit: Visit,
        login: Login,
        shown: keys.ShownKey | None = None,
        error: AccountsError | None = None,
        form: Mapping[str, Any] | None = None,
    ) -> Response:
        with database.read() as session:
            listed = keys.list_keys(session, login.account_id)
        values: dict[str, Any] = {
            "keys": listed,
            "shown": shown,
            "models": [name.partition("=")[0] for name in models],
            "form": {name: str((form or {}).get(name, "")) for name in KEY_FIELDS},
            "default_rate": keys.DEFAULT_RATE,
        }
        if error is not None:
            return pages.refused(request, visit, "keys", error, **values)
        return pages.render(request, visit, "keys", **values)

    @router.get("/keys")
    def list_keys(request: Request) -> Response:
        return keys_page(request, *require(request))

    @router.post("/keys")
    def make_key(request: Request, form: Form) -> Response:
        scopes = [str(scope) for scope in form.getlist("scopes")]
        visit, login = require(request)
        try:
            visits.require_own_form(request, visit, form)
            wish = keys.KeyRequest(
                str(form.get("name", "")),
                tuple(scopes) or (keys.ALL_MODELS,),
                _number(form, "days"),
                _number(form, "quota_requests"),
                _number(form, "rate_per_second") or keys.DEFAULT_RATE,
            )
            with database.write() as session:
                shown = keys.make_key(session, login.account_id, wish)
        except AccountsError as error:
            return keys_page(request, visit, login, error=error, form=form)
        # Not a redirect: the key is shown by this answer and by no other.
        return keys_page(request, visit, login, shown)

    @router.post("/keys/{key_id}/{action}")
    def change_key(request: Request, key_id: str, action: str, form: Form) -> Response:
        visit, login = require(request)
        shown = None
        try:
            visits.require_own_form(request, visit, form)
            with database.write() as session:
                if action == "rotate":
                    shown = keys.rotate_key(session, login.account_id, key_id)
                elif action == "revoke":
                    keys.revoke_key(session, login.account_id, key_id)
        except AccountsError as error:
            return keys_page(request, visit, login, error=error)
        if shown is None:
            return see_other("/keys")
        return keys_page(request, visit, login, shown)

    @router.get("/usage")
    def usage_page(request: Request, month: str = "") -> Response:
        visit, login = require(request)
        month = month_or_refuse(month or month_of(now_ms()))
        start, end = month_bounds(month)
        with database.read() as session:
            windows = usage.windows(session, login.account_id, start, end, "day")
            latest = events.latest(session, login.account_id, LATEST)
            unknown = events.unknown(session, login.account_id)
            names = {key.id: key.name for key in keys.list_keys(session, login.account_id)}
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
            bars=daily_bars(windows, start, end),
            plot=(WIDTH, HEIGHT),
            names=names,
            latest=latest,
            unknown=unknown,
        )

    @router.get("/invoices")
    def invoices_page(request: Request) -> Response:
        visit, login = require(request)
        with database.read() as session:
            present = invoices.bill_so_far(
                session, login.account_id, month_of(now_ms()), service.prices
            )
            issued = invoices.issued(session, login.account_id)
        return pages.render(request, visit, "invoices", present=present, issued=issued)

    @router.get("/invoices/{month}.{form}")
    def invoice(request: Request, month: str, form: Format) -> Response:
        _, login = require(request)
        return bill_response(bill_of(service, login.account_id, month), form)

    return router


def _number(form: Mapping[str, Any], name: str) -> int | None:
    text = str(form.get(name, "")).strip()
    if not text:
        return None
    if not text.isdecimal() or len(text) > 12:
        raise InvalidValueError(f"{text[:20]!r} is no whole number", name)
    return int(text)


def _months(month: str) -> tuple[str, str | None]:
    """The month before, and the one after unless it is to come."""
    start, end = month_bounds(month)
    after = month_of(end)
    return month_of(start - 1), after if after <= month_of(now_ms()) else None
