"""Rendering: one template a page, with who looks at it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from accounts.clock import moment, month_name
from accounts.errors import AccountsError
from accounts.service import Service
from console.visit import Visit, Visits

TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders templates and answers with them."""

    def __init__(self, service: Service, visits: Visits) -> None:
        self._service = service
        self._visits = visits
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["month"] = month_name
        self._templates.filters["day"] = lambda ms: f"{moment(ms):%Y-%m-%d}"
        self._templates.filters["minute"] = lambda ms: f"{moment(ms):%Y-%m-%d\u00a0%H:%M}"
        self._templates.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\u202f")
        self._templates.filters["plain"] = lambda number: f"{Decimal(number).normalize():f}"

    def render(
        self, request: Request, visit: Visit, name: str, status: int = 200, **values: Any
    ) -> Response:
        """The page ``name``; ``error`` may be among the values."""
        template = self._templates.get_template(f"{name}.html")
        text = template.render(
            visit=visit,
            login=visit.login,
            path=request.url.path,
            captures=self._service.captures is not None,
            oidc=bool(self._service.settings.oidc_issuer),
            **{"error": None, **values},
        )
        response = HTMLResponse(text, status)
        self._visits.remember(response, visit)
        return response

    def refused(
        self, request: Request, visit: Visit, name: str, error: AccountsError, **values: Any
    ) -> Response:
        """The form again, with what was wrong with it."""
        response = self.render(request, visit, name, error.status, error=error, **values)
        response.headers.update(error.headers())
        return response


def see_other(path: str) -> Response:
    """To another page, after a form was taken."""
    return RedirectResponse(path, status_code=303)
