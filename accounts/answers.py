"""What the model server says that it answered, compared with what was billed.

The model server logs a line for every answer (``VISION_ACCESS_LOG``), with account, request id,
content and instances: a count of its own, which does not pass through the edge's hands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from accounts.tables import BILLED, Event

AT_ONCE = 500


@dataclass(frozen=True)
class Answer:
    """One line; ``content`` is the digest of what was asked."""

    account_id: str
    request_id: str
    content: str
    instances: int


@dataclass(frozen=True)
class AnswerReconciliation:
    """Attributes:
    answered: requests that the model server answered, each content once, however often.
    withheld: of those, the ones that the edge did not let out, as its events say.
    answered_not_billed: answers that left and are in no billed event.
    billed_not_answered: billed events of these request ids without an answer.
    instance_difference: billed instances less answered ones, over what is in both.
    """

    answered: int
    answered_instances: int
    withheld: int
    answered_not_billed: int
    billed_not_answered: int
    instance_difference: int

    @property
    def agrees(self) -> bool:
        return not (
            self.answered_not_billed or self.billed_not_answered or self.instance_difference
        )


def read_answers(files: Iterable[Path]) -> Iterator[Answer]:
    """The answers in logs of the model server; other lines, and calls past the edge, are skipped.

    Raises:
        OSError: a file cannot be read.
    """
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if '"account_id"' not in line:
                    continue
                try:
                    found = json.loads(line)
                except ValueError:
                    # Cut off by a kill: the answer did not leave either, for the line comes first.
                    continue
                if found.get("message") == "answered" and found.get("status") == 200:
                    yield Answer(
                        found["account_id"],
                        found["request_id"],
                        found["content"],
                        found["instances"],
                    )


def reconcile_answers(session: Session, answers: Iterable[Answer]) -> AnswerReconciliation:
    """Compare answers with the events of the same account and request id."""
    by_id: dict[tuple[str, str], dict[str, int]] = {}
    for answer in answers:
        contents = by_id.setdefault((answer.account_id, answer.request_id), {})
        contents[answer.content] = answer.instances
    withheld = not_billed = not_answered = difference = 0
    events = _events(session, list(by_id))
    for own, contents in by_id.items():
        event = events.get(own)
        others = set(contents)
        if event is not None and event.state == BILLED:
            if event.content in contents:
                others.remove(event.content)
                difference += event.instances - contents[event.content]
            else:
                not_answered += 1
        # Without a bill nothing left, unless nobody recorded the request at all.
        kept = 0 if event is None else event.withheld if event.state == BILLED else len(others)
        withheld += min(kept, len(others))
        not_billed += max(0, len(others) - kept)
    return AnswerReconciliation(
        answered=sum(map(len, by_id.values())),
        answered_instances=sum(sum(contents.values()) for contents in by_id.values()),
        withheld=withheld,
        answered_not_billed=not_billed,
        billed_not_answered=not_answered,
        instance_difference=difference,
    )


def _events(session: Session, owns: list[tuple[str, str]]) -> dict[tuple[str, str], Event]:
    found: dict[tuple[str, str], Event] = {}
    for start in range(0, len(owns), AT_ONCE):
        wanted = owns[start : start + AT_ONCE]
        rows = session.scalars(
            select(Event).where(tuple_(Event.account_id, Event.request_id).in_(wanted))
        )
        found.update({(event.account_id, event.request_id): event for event in rows})
    return found
