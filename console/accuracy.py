"""The page of how often predictions were right, as far as customers have said what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts.accuracy import Confusion, Scope, accuracy, confusion
from accounts.clock import DAY_MS, now_ms
from accounts.errors import NotFoundError
from accounts.service import Service
from console.pages import Pages
from console.visit import Visits

SPAN_DAYS = 31
DRAWN = 20
"""Labels of a matrix; of more, the mistakes alone are listed."""
LISTED = 10
CELL = 30


@dataclass(frozen=True)
class Square:
    """One cell of a matrix: how often ``label`` was taken for ``predicted``.

    Attributes:
        share: of everything that is ``label``.
    """

    x: int
    y: int
    label: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class Matrix:
    """Right labels downwards, predicted ones across, in drawing units."""

    labels: tuple[str, ...]
    squares: tuple[Square, ...]
    size: int


def matrix_of(found: Iterable[Confusion]) -> Matrix | None:
    """None of too many labels, or of none."""
    counts = {(row.label, row.predicted): row.count for row in found}
    labels = tuple(sorted({name for pair in counts for name in pair}))
    if not 0 < len(labels) <= DRAWN:
        return None
    of_label: Counter[str] = Counter()
    for (label, _), count in counts.items():
        of_label[label] += count
    squares = tuple(
        Square(
            CELL * labels.index(predicted),
            CELL * labels.index(label),
            label,
            predicted,
            count,
            count / of_label[label],
        )
        for (label, predicted), count in counts.items()
    )
    return Matrix(labels, squares, CELL * len(labels))


def accuracy_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    database = service.database

    @router.get("/accuracy")
    def page(request: Request, model: str = "", revision: str = "", whose: str = "own") -> Response:
        visit, login = visits.require(request)
        everyone = whose == "all"
        if everyone and not login.may("operations"):
            raise NotFoundError("there is nothing at this URL")
        end = now_ms() + 1
        account = None if everyone else login.account_id
        everything = Scope(end - SPAN_DAYS * DAY_MS, end, account)
        with database.read() as session:
            rows = accuracy(session, everything)
            chosen = next((r for r in rows if (r.model, r.revision) == (model, revision)), None)
            chosen = chosen or (rows[0] if rows else None)
            days, found = [], []
            if chosen is not None:
                scope = Scope(everything.start_ms, end, account, chosen.model, chosen.revision)
                days = accuracy(session, scope, ("revision", "day"))
                found = confusion(session, scope)
        mistakes = sorted(
            (row for row in found if row.label != row.predicted), key=lambda row: -row.count
        )
        return pages.render(
            request,
            visit,
            "accuracy",
            rows=rows,
            chosen=chosen,
            days=days,
            matrix=matrix_of(found),
            cell_size=CELL,
            mistakes=mistakes[:LISTED],
            everyone=everyone,
            span=SPAN_DAYS,
            url=service.settings.public_url,
        )

    return router
