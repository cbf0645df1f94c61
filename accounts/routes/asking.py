"""What routes ask for: the service behind them, who asks, their rights, and a span of time."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from accounts.clock import DAY_MS, MAX_MS, now_ms
from accounts.errors import ForbiddenError, NotLoggedInError
from accounts.people import Login
from accounts.service import Service

From = Annotated[int | None, Query(alias="from", ge=0, le=MAX_MS)]
To = Annotated[int | None, Query(alias="to", ge=0, le=MAX_MS)]


class Body(BaseModel):
    """JSON with these fields and no others."""

    model_config = ConfigDict(extra="forbid")


def service_of(request: Request) -> Service:
    """What the application was made around."""
    found: Service = request.app.state.service
    return found


Behind = Annotated[Service, Depends(service_of)]


def bearer(request: Request) -> str:
    """What is sent as ``authorization: Bearer``; empty where nothing is."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def session_token(text: Annotated[str, Depends(bearer)]) -> str:
    """Raises NotLoggedInError where there is none."""
    if not text:
        raise NotLoggedInError
    return text


Token = Annotated[str, Depends(session_token)]


def who(service: Behind, token: Token) -> Login:
    """Raises NotLoggedInError."""
    return service.people.who(token)


Who = Annotated[Login, Depends(who)]


def require(login: Login, right: str) -> None:
    """Raises ForbiddenError for somebody who has no role with this right."""
    if not login.may(right):
        raise ForbiddenError(f"none of your roles has the right {right!r}")


def holder_of(right: str) -> Any:
    """A dependency: who asks, if they have the right."""

    def holder(login: Who) -> Login:
        require(login, right)
        return login

    return Depends(holder)


def span(start: From = None, end: To = None) -> tuple[int, int]:
    """Milliseconds; the last 31 days where nothing else is said."""
    end = now_ms() + DAY_MS if end is None else end
    return (end - 31 * DAY_MS if start is None else start), end


Span = Annotated[tuple[int, int], Depends(span)]
