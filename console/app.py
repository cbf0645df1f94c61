"""The web process: the JSON API and the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from accounts.api import api
from accounts.oidc import OpenIdProvider
from accounts.routes import feedback
from accounts.service import Service
from console.account import account_pages
from console.accuracy import accuracy_pages
from console.bills import bill_pages
from console.captures import capture_pages
from console.cards import Cards, known_labels
from console.domains import domain_pages
from console.experiments import experiment_pages
from console.faults import answer_faults
from console.front import front_page
from console.keys import KeysPage, key_pages
from console.limits import BodyLimit
from console.log_in import log_in_pages
from console.operator import operator_pages
from console.pages import Pages
from console.provider import CALLBACK, provider_pages
from console.security import header_middleware
from console.sign_up import sign_up_pages
from console.staff import staff_pages
from console.usage import usage_pages
from console.visit import Visits

STATIC = Path(__file__).parent / "static"


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
    # What the routes of programs ask for.
    app.state.service = service
    app.state.labels = known_labels(Cards(service.settings.model_root))
    visits = Visits(service)
    pages = Pages(service, visits)
    # Inside of the headers' middleware: a refusal carries them too.
    app.add_middleware(BodyLimit)
    app.middleware("http")(header_middleware(visits.secure and not service.settings.development))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(api())
    app.include_router(feedback.router)
    app.include_router(front_page(service, visits, pages))
    keys_page = KeysPage(service, pages)
    app.include_router(sign_up_pages(service, visits, pages, keys_page))
    app.include_router(log_in_pages(service, visits, pages))
    app.include_router(account_pages(service, visits, pages))
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

    answer_faults(app, visits, pages)
    return app
