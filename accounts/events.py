"""Raw events: listed, exported, reconciled with what was billed, deleted when they are old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from accounts.clock import SECOND_MS, now_ms
from accounts.tables import BILLED, FAILED, INTENT, Event, UsageHour

UNKNOWN_AFTER_SECONDS = 120
"""An intent that is older will not be completed: no request takes that long."""
PAGE = 1000
DELETED_AT_ONCE = 1000


@dataclass(frozen=True)
class RawEvent:
    """One request, as exported. ``state`` is billed, failed, open or unknown."""

    request_id: str
    account_id: str
    key_id: str
    model: str
    revision: str
    state: str
    status: int
    attempts: int
    instances: int
    pixels: int
    request_bytes: int
    response_bytes: int
    milliseconds: int
    started_ms: int
    completed_ms: int | None
    content: str
    answers: int
    withheld: int
    unanswered_milliseconds: int
    experiment: str
    variant: str


EVENT_FIELDS = tuple(field.name for field in fields(RawEvent))


@dataclass(frozen=True)
class Reconciliation:
    """Whether windows and events say the same, over the events that are still kept.

    Attributes:
        withheld: answers that did not leave, because their request id was another content's.
        difference: requests in windows less billed events.
        instance_difference: the same of instances.
    """

    recorded: int
    billed: int
    billed_instances: int
    failed: int
    unknown: int
    open: int
    withheld: int
    in_windows: int
    difference: int
    instance_difference: int

    @property
    def agrees(self) -> bool:
        return not (self.difference or self.instance_difference)


def unknown(session: Session, account_id: str | None = None) -> list[RawEvent]:
    """Intents that nobody completed: never billed; the client saw no answer. Newest first."""
    query = (
        select(Event)
        .where(Event.state == INTENT, Event.started_ms < _unknown_before(), *_of(account_id))
        .order_by(Event.started_ms.desc())
        .limit(PAGE)
    )
    return [_raw(event) for event in session.scalars(query)]


def latest(session: Session, account_id: str, count: int) -> list[RawEvent]:
    """The newest events of an account that were completed."""
    query = (
        select(Event)
        .where(Event.account_id == account_id, Event.completed_ms.is_not(None))
        .order_by(Event.completed_ms.desc())
        .limit(min(count, PAGE))
    )
    return [_raw(event) for event in session.scalars(query)]


def export(
    session: Session, start_ms: int, end_ms: int, account_id: str | None = None
) -> Iterator[RawEvent]:
    """Every event that began in [start, end), by account and id; pages of ``PAGE`` rows."""
    after: tuple[str, str] | None = None
    while True:
        query = (
            select(Event)
            .where(Event.started_ms >= start_ms, Event.started_ms < end_ms, *_of(account_id))
            .order_by(Event.account_id, Event.request_id)
            .limit(PAGE)
        )
        if after is not None:
            query = query.where(
                (Event.account_id > after[0])
                | ((Event.account_id == after[0]) & (Event.request_id > after[1]))
            )
        page = session.scalars(query).all()
        for event in page:
            yield _raw(event)
        if len(page) < PAGE:
            return
        after = (page[-1].account_id, page[-1].request_id)
        session.expunge_all()


def reconcile(session: Session) -> Reconciliation:
    """Compare the billed events with the windows that bills are made of.

    Retention makes the differences positive, nothing else may make them other than 0.
    """
    counted = session.execute(
        select(
            Event.state, func.count(), func.sum(Event.instances), func.sum(Event.withheld)
        ).group_by(Event.state)
    ).all()
    counts: dict[str, int] = {row[0]: row[1] for row in counted}
    billed = counts.get(BILLED, 0)
    billed_instances = sum(int(row[2]) for row in counted if row[0] == BILLED)
    lost = session.scalar(
        select(func.count()).where(Event.state == INTENT, Event.started_ms < _unknown_before())
    )
    in_windows, window_instances = session.execute(
        select(func.sum(UsageHour.requests), func.sum(UsageHour.instances))
    ).one()
    return Reconciliation(
        recorded=sum(counts.values()),
        billed=billed,
        billed_instances=billed_instances,
        failed=counts.get(FAILED, 0),
        unknown=lost or 0,
        open=counts.get(INTENT, 0) - (lost or 0),
        withheld=sum(int(row[3]) for row in counted),
        in_windows=int(in_windows or 0),
        difference=int(in_windows or 0) - billed,
        instance_difference=int(window_instances or 0) - billed_instances,
    )


def delete_old(session: Session, before_ms: int) -> int:
    """Delete events that began before; windows and bills stay. Returns how many."""
    deleted = 0
    while True:
        page = session.execute(
            select(Event.account_id, Event.request_id)
            .where(Event.state.in_((BILLED, FAILED, INTENT)), Event.started_ms < before_ms)
            .limit(DELETED_AT_ONCE)
        ).all()
        for account_id, request_id in page:
            session.execute(
                delete(Event).where(Event.account_id == account_id, Event.request_id == request_id)
            )
        # Short transactions: the ledger waits for the write lock meanwhile.
        session.commit()
        deleted += len(page)
        if len(page) < DELETED_AT_ONCE:
            return deleted


def _unknown_before() -> int:
    return now_ms() - UNKNOWN_AFTER_SECONDS * SECOND_MS


def _of(account_id: str | None) -> list[ColumnElement[bool]]:
    return [] if account_id is None else [Event.account_id == account_id]


def _raw(event: Event) -> RawEvent:
    state = event.state
    if state == INTENT:
        state = "unknown" if event.started_ms < _unknown_before() else "open"
    values = {name: getattr(event, name) for name in EVENT_FIELDS}
    return RawEvent(**{**values, "state": state})
