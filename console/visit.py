"""Who looks at a page: cookies, sessions, and the token that its forms must send back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from accounts.errors import ForbiddenError, NotLoggedInError
from accounts.people import Login, NewSession, same
from accounts.secret_tokens import new_token
from accounts.service import Service
from console.security import is_own_origin

REGISTRATION_SECONDS = 48 * 3600
"""As long as a link in a mail works."""


@dataclass(frozen=True)
class Visit:
    """Attributes:
    login: None where nobody is logged in.
    csrf: what every form of the page must send back.
    new_visitor: whether ``csrf`` still has to be put into a cookie.
    """

    login: Login | None
    csrf: str
    new_visitor: bool = False


class Visits:
    """Reads and writes the cookies."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.secure = service.settings.public_url.startswith("https://")
        # The prefix makes browsers refuse the cookie from anybody but this very host.
        prefix = "__Host-" if self.secure else ""
        self._session_cookie = f"{prefix}session"
        self._visitor_cookie = f"{prefix}visitor"
        self._browser_cookie = f"{prefix}registration"

    def of(self, request: Request) -> Visit:
        token = self.token(request)
        if token:
            try:
                login = self._service.people.who(token)
                return Visit(login, login.csrf)
            except NotLoggedInError:
                pass
        visitor = request.cookies.get(self._visitor_cookie, "")
        return Visit(None, visitor or new_token(), not visitor)

    def require(self, request: Request) -> tuple[Visit, Login]:
        """Raises NotLoggedInError."""
        visit = self.of(request)
        if visit.login is None:
            raise NotLoggedInError
        return visit, visit.login

    def browser(self, request: Request) -> str:
        """The secret of a browser that somebody registers in; empty where nobody has."""
        return request.cookies.get(self._browser_cookie, "")

    def remember_browser(self, response: Response, secret: str) -> None:
        # Sent also when a link in a mail is followed, which the visitor's is not.
        self._set(response, self._browser_cookie, secret, REGISTRATION_SECONDS, "lax")

    def token(self, request: Request) -> str:
        """Of the session; empty where there is none."""
        return request.cookies.get(self._session_cookie, "")

    def require_own_form(self, request: Request, visit: Visit, form: Mapping[str, Any]) -> None:
        """Raises ForbiddenError unless the form came from one of our pages to this very visitor."""
        sent = str(form.get("csrf", ""))
        own = is_own_origin(request, self._service.settings.public_url)
        if not own or visit.new_visitor or not same(sent, visit.csrf):
            raise ForbiddenError(
                "this form is too old: go back, load the page again and send it anew"
            )

    def remember(self, response: Response, visit: Visit) -> None:
        """Put a new visitor's token into a cookie."""
        if visit.new_visitor:
            self._set(response, self._visitor_cookie, visit.csrf, None, "strict")

    def open(self, response: Response, opened: NewSession) -> None:
        seconds = self._service.settings.session_hours * 3600
        self._set(response, self._session_cookie, opened.token, seconds, "lax")

    def close(self, response: Response) -> None:
        response.delete_cookie(
            self._session_cookie, secure=self.secure, httponly=True, samesite="lax"
        )

    def _set(
        self, response: Response, name: str, value: str, seconds: int | None, same_site: str
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            secure=self.secure,
            httponly=True,
            samesite="strict" if same_site == "strict" else "lax",
        )
