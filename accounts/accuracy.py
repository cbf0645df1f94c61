"""How often predictions were right, as far as customers have said what was.

What customers say something of is no random sample: whoever reports mistakes alone makes a model
look worse than it is. Compare revisions with each other, over the same time and customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from accounts.clock import DAY_MS
from accounts.errors import InvalidValueError
from accounts.tables import Feedback
from common.intervals import wilson

MAX_ROWS = 5000

Part = Literal["revision", "account", "day"]


@dataclass(frozen=True)
class Accuracy:
    """Of the predictions of a model, or of a part of them, whose right answer was said.

    Attributes:
        revision, account_id, day_ms: of the part; empty and None where it is not split by them.
        low, high: Wilson's interval of 95 %.
        unsure: how many of them the model had called unsure.
    """

    model: str
    revision: str
    account_id: str
    day_ms: int | None
    count: int
    right: int
    share: float
    low: float
    high: float
    unsure: int


@dataclass(frozen=True)
class Confusion:
    """What was taken for what by a revision."""

    label: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Scope:
    """Of which predictions; those made in [start, end)."""

    start_ms: int
    end_ms: int
    account_id: str | None = None
    model: str | None = None
    revision: str | None = None

    def conditions(self) -> list[Any]:
        found = [Feedback.predicted_ms >= self.start_ms, Feedback.predicted_ms < self.end_ms]
        for column, value in (
            (Feedback.account_id, self.account_id),
            (Feedback.model, self.model),
            (Feedback.revision, self.revision),
        ):
            if value is not None:
                found.append(column == value)
        return found


def accuracy(session: Session, scope: Scope, by: Sequence[Part] = ("revision",)) -> list[Accuracy]:
    """One row a model and part, in order.

    Raises:
        InvalidValueError: more than ``MAX_ROWS`` of them.
    """
    columns: dict[Part, Any] = {
        "revision": Feedback.revision,
        "account": Feedback.account_id,
        "day": Feedback.predicted_ms - Feedback.predicted_ms % DAY_MS,
    }
    chosen = [columns[part].label(part) for part in columns if part in by]
    rows = session.execute(
        select(
            Feedback.model,
            *chosen,
            func.count().label("number"),
            func.sum(case((Feedback.label == Feedback.predicted, 1), else_=0)).label("correct"),
            func.sum(case((Feedback.unsure, 1), else_=0)).label("doubted"),
        )
        .where(*scope.conditions())
        .group_by(Feedback.model, *chosen)
        .order_by(Feedback.model, *chosen)
        .limit(MAX_ROWS + 1)
    ).all()
    if len(rows) > MAX_ROWS:
        raise InvalidValueError(
            f"that is more than {MAX_ROWS} rows; ask for a shorter time", "from"
        )
    found = []
    for row in rows:
        values = row._mapping
        # MariaDB's sums are Decimals.
        count, right = values["number"], int(values["correct"])
        day = values.get("day")
        found.append(
            Accuracy(
                values["model"],
                values.get("revision", ""),
                values.get("account", ""),
                None if day is None else int(day),
                count,
                right,
                right / count,
                *wilson(right, count),
                int(values["doubted"]),
            )
        )
    return found


def confusion(session: Session, scope: Scope) -> list[Confusion]:
    """How often what was taken for what, over what ``scope`` takes; the rows of one matrix."""
    rows = session.execute(
        select(Feedback.label, Feedback.predicted, func.count())
        .where(*scope.conditions())
        .group_by(Feedback.label, Feedback.predicted)
        .order_by(Feedback.label, Feedback.predicted)
        .limit(MAX_ROWS)
    )
    return [Confusion(*row) for row in rows]
