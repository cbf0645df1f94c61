"""The JSON API, under ``/api/v1``.

A session's token is sent as ``authorization: Bearer``, never as a cookie, so that no page of
somebody else can act in a person's name here.
"""

from __future__ import annotations

from fastapi import APIRouter

from accounts.routes import (
    account,
    accuracy,
    captures,
    domains,
    events,
    experiments,
    invoices,
    keys,
    staff,
    usage,
)

NOUNS = [staff, experiments, domains, account, keys, usage, events, accuracy, captures, invoices]


def api() -> APIRouter:
    """All of it; the application's ``state.service`` is what it is of."""
    router = APIRouter(prefix="/api/v1")
    for noun in NOUNS:
        router.include_router(noun.router)
    return router
