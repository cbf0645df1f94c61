"""The page of a person's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import keys
from accounts.errors import AccountsError, InvalidValueError, NotFoundError
from accounts.people import Login
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visit, Visits

KEY_FIELDS = ("name", "days", "quota_requests", "rate_per_second")
FIRST_NAME = "first key"


class KeysPage:
    """Renders it: what there is, what was just made, and what was wrong with a form."""

    def __init__(self, service: Service, pages: Pages) -> None:
        self._service = service
        self._pages = pages
        self._models = service.settings.model_names

    def render(
        self,
        request: Request,
        visit: Visit,
        login: Login,
        shown: keys.ShownKey | None = None,
        error: AccountsError | None = None,
        form: Mapping[str, Any] | None = None,
        first: bool = False,
    ) -> Response:
        with self._service.database.read() as session:
            listed = keys.list_keys(session, login.account_id)
        values: dict[str, Any] = {
            "keys": listed,
            "shown": shown,
            "first": first,
            "models": self._models,
            "url": self._service.settings.public_url,
            "form": {name: str((form or {}).get(name, "")) for name in KEY_FIELDS},
            "default_rate": keys.DEFAULT_RATE,
            "prediction_days": self._service.settings.prediction_days,
        }
        if error is not None:
            return self._pages.refused(request, visit, "keys", error, **values)
        return self._pages.render(request, visit, "keys", **values)


def key_pages(service: Service, visits: Visits, pages: Pages, keys_page: KeysPage) -> APIRouter:
    """Make, rotate and revoke; the latter two are asked about first."""
    router = APIRouter(include_in_schema=False)
    database = service.database

    @router.get("/keys")
    def list_keys(request: Request) -> Response:
        return keys_page.render(request, *visits.require(request))

    @router.post("/keys")
    def make_key(request: Request, form: Form) -> Response:
        scopes = [str(scope) for scope in form.getlist("scopes")]
        visit, login = visits.require(request)
        try:
            visits.require_own_form(request, visit, form)
            models = [scope for scope in scopes if scope not in keys.RIGHTS] or [keys.ALL_MODELS]
            rights = [scope for scope in scopes if scope in keys.RIGHTS]
            wish = keys.KeyRequest(
                str(form.get("name", "")),
                (*models, *rights),
                _number(form, "days"),
                _number(form, "quota_requests"),
                _number(form, "rate_per_second") or keys.DEFAULT_RATE,
            )
            with database.write() as session:
                shown = keys.make_key(session, login.account_id, wish)
        except AccountsError as error:
            return keys_page.render(request, visit, login, error=error, form=form)
        # Not a redirect: the key is shown by this answer and by no other.
        return keys_page.render(request, visit, login, shown)

    @router.get("/keys/{key_id}/{action}")
    def ask(request: Request, key_id: str, action: str) -> Response:
        visit, login = visits.require(request)
        with database.read() as session:
            listed = keys.list_keys(session, login.account_id)
        found = next((key for key in listed if key.id == key_id and key.works), None)
        if found is None or action not in ("rotate", "revoke"):
            raise NotFoundError("there is no such key")
        return pages.render(request, visit, "confirm", key=found, action=action)

    @router.post("/keys/{key_id}/{action}")
    def change_key(request: Request, key_id: str, action: str, form: Form) -> Response:
        visit, login = visits.require(request)
        shown = None
        try:
            visits.require_own_form(request, visit, form)
            with database.write() as session:
                if action == "rotate":
                    hours = _number(form, "overlap") or 0
                    shown = keys.rotate_key(session, login.account_id, key_id, hours)
                elif action == "revoke":
                    keys.revoke_key(session, login.account_id, key_id)
        except AccountsError as error:
            return keys_page.render(request, visit, login, error=error)
        if shown is None:
            return see_other("/keys")
        return keys_page.render(request, visit, login, shown)

    return router


def _number(form: Mapping[str, Any], name: str) -> int | None:
    text = str(form.get(name, "")).strip()
    if not text:
        return None
    if not text.isdecimal() or len(text) > 12:
        raise InvalidValueError(f"{text[:20]!r} is no whole number", name)
    return int(text)
