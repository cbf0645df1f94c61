"""Usage in hourly and daily windows (UTC), per account, key, model and revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accounts.clock import DAY_MS, HOUR_MS
from accounts.errors import InvalidValueError
from accounts.tables import UsageHour

MAX_ROWS = 5000

WindowSize = Literal["hour", "day"]
SIZES: dict[str, int] = {"hour": HOUR_MS, "day": DAY_MS}


@dataclass(frozen=True)
class UsageWindow:
    """What was billed in a window; ``failures`` are attempts that were not, and
    ``unanswered_milliseconds`` is work for those that were given up, too slow, or kept back.
    """

    start_ms: int
    key_id: str
    model: str
    revision: str
    requests: int
    failures: int
    instances: int
    pixels: int
    request_bytes: int
    response_bytes: int
    milliseconds: int
    unanswered_milliseconds: int


@dataclass(frozen=True)
class ModelUsage:
    """What an account used of a model in a time."""

    model: str
    requests: int
    instances: int
    pixels: int
    unanswered_milliseconds: int = 0


@dataclass(frozen=True)
class AccountUsage:
    """What an account used in a time."""

    account_id: str
    requests: int
    failures: int
    instances: int
    pixels: int


@dataclass(frozen=True)
class RevisionTraffic:
    """How a model's traffic split over its revisions in a time."""

    model: str
    revision: str
    requests: int
    failures: int
    mean_milliseconds: float
    share: float


def windows(
    session: Session,
    account_id: str,
    start_ms: int,
    end_ms: int,
    size: WindowSize = "day",
) -> list[UsageWindow]:
    """Windows that begin in [start, end), oldest first.

    Raises:
        InvalidValueError: more than ``MAX_ROWS`` rows.
    """
    start = (UsageHour.hour_ms - UsageHour.hour_ms % SIZES[size]).label("start_ms")
    names = (start, UsageHour.key_id, UsageHour.model, UsageHour.revision)
    rows = session.execute(
        select(
            *names,
            *(
                func.sum(column)
                for column in (
                    UsageHour.requests,
                    UsageHour.failures,
                    UsageHour.instances,
                    UsageHour.pixels,
                    UsageHour.request_bytes,
                    UsageHour.response_bytes,
                    UsageHour.milliseconds,
                    UsageHour.unanswered_milliseconds,
                )
            ),
        )
        .where(
            UsageHour.account_id == account_id,
            UsageHour.hour_ms >= start_ms,
            UsageHour.hour_ms < end_ms,
        )
        .group_by(*names)
        .order_by(*names)
        .limit(MAX_ROWS + 1)
    ).all()
    if len(rows) > MAX_ROWS:
        raise InvalidValueError(
            f"that is more than {MAX_ROWS} windows; ask for a shorter time", "from"
        )
    # MariaDB's sums are Decimals.
    return [UsageWindow(row[0], row[1], row[2], row[3], *map(int, row[4:])) for row in rows]


def per_model(session: Session, account_id: str, start_ms: int, end_ms: int) -> list[ModelUsage]:
    """What was billed of each model in [start, end), both at full hours."""
    rows = session.execute(
        select(
            UsageHour.model,
            func.sum(UsageHour.requests),
            func.sum(UsageHour.instances),
            func.sum(UsageHour.pixels),
            func.sum(UsageHour.unanswered_milliseconds),
        )
        .where(
            UsageHour.account_id == account_id,
            UsageHour.hour_ms >= start_ms,
            UsageHour.hour_ms < end_ms,
            (UsageHour.requests > 0) | (UsageHour.unanswered_milliseconds > 0),
        )
        .group_by(UsageHour.model)
        .order_by(UsageHour.model)
    )
    return [ModelUsage(row[0], *map(int, row[1:])) for row in rows]


def per_account(session: Session, start_ms: int, end_ms: int) -> list[AccountUsage]:
    """What each account used in [start, end), most requests first."""
    requests = func.sum(UsageHour.requests)
    rows = session.execute(
        select(
            UsageHour.account_id,
            requests,
            func.sum(UsageHour.failures),
            func.sum(UsageHour.instances),
            func.sum(UsageHour.pixels),
        )
        .where(UsageHour.hour_ms >= start_ms, UsageHour.hour_ms < end_ms)
        .group_by(UsageHour.account_id)
        .order_by(requests.desc(), UsageHour.account_id)
        .limit(MAX_ROWS)
    )
    return [AccountUsage(row[0], *map(int, row[1:])) for row in rows]


def per_revision(session: Session, start_ms: int, end_ms: int) -> list[RevisionTraffic]:
    """How all accounts' billed traffic in [start, end) split over revisions."""
    rows = session.execute(
        select(
            UsageHour.model,
            UsageHour.revision,
            func.sum(UsageHour.requests),
            func.sum(UsageHour.failures),
            func.sum(UsageHour.milliseconds),
        )
        .where(UsageHour.hour_ms >= start_ms, UsageHour.hour_ms < end_ms)
        .group_by(UsageHour.model, UsageHour.revision)
        .order_by(UsageHour.model, UsageHour.revision)
    ).all()
    of_model: dict[str, int] = {}
    for row in rows:
        of_model[row[0]] = of_model.get(row[0], 0) + int(row[2])
    return [
        RevisionTraffic(
            model,
            revision,
            int(requests),
            int(failures),
            float(milliseconds) / int(requests) if requests else 0.0,
            int(requests) / of_model[model] if of_model[model] else 0.0,
        )
        for model, revision, requests, failures, milliseconds in rows
    ]
