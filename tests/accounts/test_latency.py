"""How fast the models answer, by revision."""

from __future__ import annotations

from accounts.latency import latencies
from accounts.tables import BILLED, FAILED, Event

COUNTS = ("attempts", "answers", "withheld", "instances", "pixels", "response_bytes")
COUNTS += ("unanswered_milliseconds",)


def test_answers_and_errors_are_told_by_revision(session, account):
    for number in range(100):
        failed = number >= 98
        session.add(
            Event(
                **{
                    **dict.fromkeys(COUNTS, 0),
                    "content": "",
                    "account_id": account.id,
                    "request_id": f"r{number}",
                    "attempt_id": number,
                    "key_id": "k",
                    "model": "mnist",
                    "revision": "1",
                    "request_bytes": 1,
                    "started_ms": 1,
                    "completed_ms": 10,
                    "state": FAILED if failed else BILLED,
                    "status": 503 if failed else 200,
                    "milliseconds": number,
                }
            )
        )
    session.commit()
    (found,) = latencies(session, 0, 11)
    assert (found.answers, found.p50_ms, found.p95_ms, found.failed) == (98, 49, 93, ((503, 2),))
    assert sum(found.bars) == 1
    assert latencies(session, 11, 20) == []
