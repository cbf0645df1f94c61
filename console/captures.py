"""The page on which a customer chooses what may be kept of their requests, and deletes it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import captures
from accounts.errors import AccountsError, InvalidValueError, NotFoundError
from accounts.people import Login
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visit, Visits

FIELDS = ("percent", "mebibytes", "days")
DEFAULTS = {"percent": "1", "mebibytes": "100", "days": "30"}


def capture_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """No page where nothing is ever kept."""
    router = APIRouter(include_in_schema=False)
    if service.captures is None:
        return router
    store, database = service.captures, service.database

    def show(
        request: Request,
        visit: Visit,
        login: Login,
        error: AccountsError | None = None,
        form: Any = None,
    ) -> Response:
        with database.read() as session:
            chosen = captures.choices(session, login.account_id)
            kept = captures.kept(session, login.account_id)
        values: dict[str, Any] = {
            "chosen": chosen,
            "kept": {row.model: row for row in kept},
            "models": service.settings.model_names,
            "form": {name: str((form or DEFAULTS).get(name, "")) for name in FIELDS},
            "max_days": captures.MAX_DAYS,
        }
        if error is not None:
            return pages.refused(request, visit, "captures", error, **values)
        return pages.render(request, visit, "captures", **values)

    @router.get("/captures")
    def page(request: Request) -> Response:
        return show(request, *visits.require(request))

    @router.post("/captures")
    def choose(request: Request, form: Form) -> Response:
        visit, login = visits.require(request)
        try:
            visits.require_own_form(request, visit, form)
            numbers = [_number(form, name) for name in FIELDS]
            choice = captures.Choice(
                str(form.get("model", "")), numbers[0], int(numbers[1] * (1 << 20)), int(numbers[2])
            )
            with database.write() as session:
                captures.choose(session, login.account_id, choice)
        except AccountsError as error:
            return show(request, visit, login, error, form)
        return see_other("/captures")

    @router.post("/captures/{action}")
    def change(request: Request, action: str, form: Form) -> Response:
        visit, login = visits.require(request)
        try:
            visits.require_own_form(request, visit, form)
            if action == "stop":
                with database.write() as session:
                    captures.stop(session, login.account_id, str(form.get("model", "")))
            elif action == "delete":
                request_id = str(form.get("request_id", "")).strip()
                if bool(form.get("everything")) == bool(request_id):
                    raise InvalidValueError("name a request, or tick everything", "request_id")
                store.forget(login.account_id, request_id or None)
            else:
                raise NotFoundError("there is nothing at this URL")
        except AccountsError as error:
            return show(request, visit, login, error)
        return see_other("/captures")

    return router


def _number(form: Any, name: str) -> float:
    text = str(form.get(name, "")).strip()
    try:
        number = float(text)
    except ValueError:
        raise InvalidValueError(f"{text[:20]!r} is no number", name) from None
    if not 0 <= number <= 1e6:
        raise InvalidValueError(f"{text[:20]!r} is out of bounds", name)
    return number
