"""How errors are answered: JSON to programs, a page to people."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from accounts.errors import (
    AccountsError,
    BusyError,
    InvalidValueError,
    NotFoundError,
    NotLoggedInError,
)
from console.pages import Pages, see_other
from console.visit import Visits

PROGRAMS = ("/api/", "/v1/")
"""Beginnings of the paths whose callers read JSON, not pages."""

logger = logging.getLogger("console")


def answer_faults(app: FastAPI, visits: Visits, pages: Pages) -> None:
    """Have the application answer whatever is raised; none of it says what it should not."""

    def show(request: Request, error: AccountsError) -> Response:
        if request.url.path.startswith(PROGRAMS):
            return JSONResponse(error.as_json(), error.status, error.headers())
        if isinstance(error, NotLoggedInError):
            return see_other("/login")
        return pages.refused(request, visits.of(request), "problem", error)

    @app.exception_handler(AccountsError)
    def known(request: Request, error: AccountsError) -> Response:
        return show(request, error)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    def without_database(request: Request, error: Exception) -> Response:
        # A full disk, a lock that others hold, a server that is away: nothing was committed.
        logger.error("the database does not answer at %s", request.url.path, exc_info=error)
        busy = BusyError("accounts do not answer now; try again in a moment")
        return JSONResponse(busy.as_json(), busy.status, busy.headers())

    @app.exception_handler(RequestValidationError)
    def misshapen(request: Request, error: RequestValidationError) -> Response:
        # Never with its input, which may be a password.
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            place, why = first["loc"][-1], first["ctx"]["error"]
            return show(request, InvalidValueError(f"the body is no JSON: {why} at {place}"))
        return show(request, InvalidValueError(first["msg"], str(first["loc"][-1])))

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return show(request, NotFoundError("there is nothing at this URL"))
        return JSONResponse(
            {"error": str(error.detail), "code": "refused"}, error.status_code, error.headers
        )

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        logger.error("unexpected error at %s", request.url.path, exc_info=error)
        return JSONResponse({"error": "internal error", "code": "internal"}, 500)
