"""The web process: the JSON API and the pages."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from accounts.api import api
from accounts.errors import (
    AccountsError,
    BusyError,
    InvalidValueError,
    NotFoundError,
    NotLoggedInError,
)
from accounts.feedback_api import feedback_api
from accounts.oidc import OpenIdProvider
from accounts.service import Service
from console.accuracy import accuracy_pages
from console.bills import bill_pages
from console.captures import capture_pages
from console.cards import Cards, known_labels
from console.domains import domain_pages
from console.experiments import experiment_pages
from console.front import front_page
from console.keys import KeysPage, key_pages
from console.limits import BodyLimit
from console.operator import operator_pages
from console.pages import Pages, see_other
from console.provider import CALLBACK, provider_pages
from console.security import header_middleware
from console.sign_up import sign_up
from console.staff import staff_pages
from console.usage import usage_pages
from console.visit import Visits

PROGRAMS = ("/api/", "/v1/")
"""Beginnings of the paths whose callers read JSON, not pages."""
STATIC = Path(__file__).parent / "static"

logger = logging.getLogger("console")


def create_app(service: Service, transport: httpx.BaseTransport | None = None) -> FastAPI:
    """The application around a service.

    Args:
        transport: to the provider of logins in place of the network, for tests.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.outbox.start()
        yield
        await run_in_threadpool(service.outbox.stop)

    app = FastAPI(
        title="vision accounts",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        # A redirect to the path without its slash would be made of the Host that a client sends.
        redirect_slashes=False,
    )
    visits = Visits(service)
    pages = Pages(service, visits)
    # Inside of the headers' middleware: a refusal carries them too.
    app.add_middleware(BodyLimit)
    app.middleware("http")(header_middleware(visits.secure and not service.settings.development))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(api(service))
    app.include_router(feedback_api(service, known_labels(Cards(service.settings.model_root))))
    app.include_router(front_page(service, visits, pages))
    keys_page = KeysPage(service, pages)
    app.include_router(sign_up(service, visits, pages, keys_page))
    app.include_router(key_pages(service, visits, pages, keys_page))
    app.include_router(usage_pages(service, visits, pages))
    app.include_router(accuracy_pages(service, visits, pages))
    app.include_router(capture_pages(service, visits, pages))
    app.include_router(bill_pages(service, visits, pages))
    app.include_router(operator_pages(service, visits, pages))
    app.include_router(staff_pages(service, visits, pages))
    app.include_router(domain_pages(service, visits, pages))
    app.include_router(experiment_pages(service, visits, pages))
    if service.settings.oidc_issuer:
        provider = OpenIdProvider(
            service.settings, service.settings.public_url + CALLBACK, transport
        )
        app.include_router(provider_pages(service, visits, pages, provider))

    @app.get("/healthz", include_in_schema=False)
    def health() -> Response:
        with service.database.read() as session:
            session.execute(text("SELECT 1"))
        return JSONResponse({"ready": True})

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

    return app
