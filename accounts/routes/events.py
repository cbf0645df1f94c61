"""``/api/v1/events``: raw events, one's own and everybody's, and whether they agree with bills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from accounts import events
from accounts.csv_text import csv_lines
from accounts.database import Database
from accounts.people import Login
from accounts.routes.asking import Behind, From, To, Who, holder_of, span

router = APIRouter()

Form = Literal["ndjson", "csv"]
SeesEvents = Annotated[Login, holder_of("events")]


@router.get("/events")
def export(
    login: Who, service: Behind, start: From = None, end: To = None, form: Form = "ndjson"
) -> Response:
    return _export(service.database, login.account_id, span(start, end), form)


@router.get("/events/unknown")
def unknown(login: Who, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(event) for event in events.unknown(session, login.account_id)]


@router.get("/operator/reconciliation")
def reconciliation(_: Annotated[Login, holder_of("usage")], service: Behind) -> dict[str, Any]:
    with service.database.read() as session:
        return asdict(events.reconcile(session))


@router.get("/operator/events")
def export_all(
    _: SeesEvents, service: Behind, start: From = None, end: To = None, form: Form = "ndjson"
) -> Response:
    return _export(service.database, None, span(start, end), form)


@router.get("/operator/events/unknown")
def all_unknown(_: SeesEvents, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(event) for event in events.unknown(session)]


def _export(
    database: Database, account_id: str | None, within: tuple[int, int], form: Form
) -> Response:
    def lines() -> Iterator[str]:
        with database.read() as session:
            found = events.export(session, *within, account_id)
            if form == "csv":
                rows = (asdict(event).values() for event in found)
                yield from csv_lines(chain([events.EVENT_FIELDS], rows))
            else:
                for event in found:
                    yield json.dumps(asdict(event)) + "\n"

    media_type = "text/csv" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(lines(), media_type=media_type)
