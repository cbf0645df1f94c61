"""The report of an experiment reads its own events, and not everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, insert, text
from sqlalchemy.orm import Session

from accounts import experiments
from accounts.clock import now_ms
from accounts.experiment_report import report
from accounts.experiments import Plan, Variant
from accounts.tables import Account, Event

HOST = "http://{}.vision.svc.cluster.local"
OTHERS, OWN = 3000, 40


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the database meanwhile, with its parameters."""
    found: list[tuple[str, Any]] = []

    def before(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", before)


def add_events(session: Session, account: Account, number: int, **fields: str) -> None:
    zeros = ("attempt_id", "pixels", "request_bytes", "response_bytes", "withheld")
    common = dict.fromkeys((*zeros, "unanswered_milliseconds"), 0)
    common |= dict.fromkeys(("attempts", "answers", "instances", "milliseconds"), 1)
    common |= {"account_id": account.id, "content": "", "state": "billed", "key_id": "key"}
    common |= {"model": "mnist", "revision": "1", "status": 200, "started_ms": now_ms() + 1000}
    named = fields.get("experiment", "none")
    rows = [{**common, "request_id": f"{named}-{n}", **fields} for n in range(number)]
    session.execute(insert(Event), rows)


def test_its_events_are_found_by_an_index(
    engine: Engine, session: Session, account: Account
) -> None:
    variants = tuple(Variant(name, "1", HOST.format(name)) for name in ("old", "new"))
    view = experiments.start(session, Plan("halves", "mnist", variants), "t")
    add_events(session, account, OTHERS)
    add_events(session, account, OWN, experiment="halves", variant="new", subject="s")
    session.commit()
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        connection.execute(text("ANALYZE" if is_sqlite else "ANALYZE TABLE events"))
    with statements(engine) as asked:
        assert report(session, view).variants[1].requests == OWN
    asked = [one for one in asked if "FROM events" in one[0]]
    assert len(asked) == 4
    with engine.connect() as connection:
        for statement, parameters in asked:
            explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
            plan = connection.exec_driver_sql(explain + statement, parameters).mappings().all()
            said = " ".join(str(dict(row)) for row in plan)
            assert "events_by_experiment" in said, said
            if not is_sqlite:
                (row,) = (row for row in plan if row["table"] == "events")
                assert int(row["rows"]) < OTHERS / 10
