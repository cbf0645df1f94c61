"""Right answers, which customers give later to what was predicted.

The same word said again changes nothing. Another one is a correction: the last one counts, and all
of them are kept (``feedback_words``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from accounts.clock import DAY_MS, now_ms
from accounts.errors import (
    AccountsError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidValueError,
    NotFoundError,
)
from accounts.keys import GIVES_FEEDBACK, Bearer
from accounts.tables import BILLED, Capture, Event, Feedback, FeedbackWord, Prediction
from accounts.throttle import Limit
from common.predicted import MAX_INSTANCES, as_set, from_header, is_set

CALLS = Limit("feedback", attempts=1200, seconds=60)
"""Calls of an account, each with many right answers."""
MAX_AT_ONCE = 200
MAX_WORDS = 10
"""Of one instance: who changes their mind more often is told so."""
MAX_LABEL_CHARACTERS = 200
NAMED = 30
"""Labels that a refusal lists."""
DELETED_AT_ONCE = 1000
PAGE = 500

Labels = Callable[[str, str], Sequence[str]]
"""Of a model's revision; empty where they are not known."""


class State(str, Enum):
    """What became of a right answer."""

    NEW = "new"
    SAME = "same"
    CORRECTED = "corrected"


@dataclass(frozen=True)
class RightAnswer:
    """What a customer says.

    Attributes:
        instance: its place in the request, from 0.
        label: as the model's card spells it.
        labels: all that the picture has, in place of ``label``, where it may have several.
    """

    request_id: str
    instance: int
    label: str = ""
    labels: tuple[str, ...] | None = None

    @property
    def said(self) -> str:
        """As it is kept."""
        one = self.label[:MAX_LABEL_CHARACTERS]
        return one if self.labels is None else as_set(self.labels)


@dataclass(frozen=True)
class Taken:
    """A right answer that is on record, beside what was predicted."""

    request_id: str
    instance: int
    label: str
    model: str
    revision: str
    predicted: str
    right: bool
    state: State


def take(
    session: Session,
    bearer: Bearer,
    answers: Sequence[RightAnswer],
    labels: Labels,
    days: int,
) -> list[Taken]:
    """Put right answers on record, all of them or none.

    Args:
        days: predictions are kept that long.

    Raises:
        ForbiddenError: the key has not the right, or is not for the model.
        NotFoundError: this account has no such request.
        GoneError: it is too old.
        ConflictError: nothing was kept of it, or it has been corrected too often.
        InvalidValueError: no label of the model, no such instance, too many at once.
    """
    if GIVES_FEEDBACK not in bearer.scopes:
        raise ForbiddenError(f"this key has not the right {GIVES_FEEDBACK}; make one that has it")
    if not 1 <= len(answers) <= MAX_AT_ONCE:
        raise InvalidValueError(f"1 to {MAX_AT_ONCE} right answers come at once")
    taken = {}
    # In one order: two transactions cannot wait for each other.
    for number in sorted(range(len(answers)), key=lambda n: answers[n].request_id):
        try:
            taken[number] = _take(session, bearer, answers[number], labels, days)
        except AccountsError as error:
            if len(answers) > 1:
                error.message = f"item {number}: {error.message}; nothing was taken"
            raise
    return [taken[number] for number in range(len(answers))]


@dataclass(frozen=True)
class Disagreement:
    """A prediction that a customer says was wrong, and whose request they let us keep.

    Attributes:
        place: where a further page begins.
    """

    account_id: str
    request_id: str
    instance: int
    label: str
    predicted: str
    revision: str
    predicted_ms: int
    place: str


def disagreements(
    session: Session, model: str, start_ms: int, end_ms: int, after: str = ""
) -> list[Disagreement]:
    """What was said in [start, end), in an order that stays; ``PAGE`` at a time."""
    query = (
        select(Feedback)
        .join(
            Capture,
            (Capture.account_id == Feedback.account_id)
            & (Capture.request_id == Feedback.request_id),
        )
        .where(
            Feedback.model == model,
            Feedback.label != Feedback.predicted,
            Feedback.given_ms >= start_ms,
            Feedback.given_ms < end_ms,
            Capture.expires_ms > now_ms(),
        )
        .order_by(Feedback.account_id, Feedback.request_id, Feedback.instance)
        .limit(PAGE)
    )
    if after:
        account_id, _, rest = after.partition(" ")
        instance, _, request_id = rest.partition(" ")
        if not instance.isdecimal() or len(instance) > 6:
            raise InvalidValueError("that is no place in the list", "after")
        key = tuple_(Feedback.account_id, Feedback.request_id, Feedback.instance)
        query = query.where(key > (account_id, request_id, int(instance)))
    return [
        Disagreement(
            row.account_id,
            row.request_id,
            row.instance,
            row.label,
            row.predicted,
            row.revision,
            row.predicted_ms,
            f"{row.account_id} {row.instance} {row.request_id}",
        )
        for row in session.scalars(query)
    ]


def delete_old(session: Session, predicted_before_ms: int, given_before_ms: int) -> tuple[int, int]:
    """Delete predictions, and feedback, that are older; in transactions of their own.

    Returns:
        How many of each.
    """
    counts = []
    for table, old in (
        (Prediction, Prediction.at_ms < predicted_before_ms),
        (Feedback, Feedback.predicted_ms < given_before_ms),
        (FeedbackWord, FeedbackWord.at_ms < given_before_ms),
    ):
        deleted = 0
        while page := session.scalars(select(table).where(old).limit(DELETED_AT_ONCE)).all():
            for row in page:
                session.delete(row)
            # Short transactions: the ledger waits for the write lock meanwhile.
            session.commit()
            deleted += len(page)
        counts.append(deleted)
    return counts[0], counts[1]


def _take(
    session: Session, bearer: Bearer, answer: RightAnswer, labels: Labels, days: int
) -> Taken:
    own = (bearer.account_id, answer.request_id)
    # Held to the end of the transaction: whoever says something of this request waits.
    kept = session.get(Prediction, own, with_for_update=True)
    row = session.get(Feedback, (*own, answer.instance))
    if kept is None or kept.at_ms < now_ms() - days * DAY_MS:
        if row is None or row.label != answer.said:
            raise _missing(session, own, days)
        return _taken(row, State.SAME)
    _check(bearer, answer, kept, labels)
    said = answer.said
    if row is not None and row.label == said:
        return _taken(row, State.SAME)
    if row is not None and row.words >= MAX_WORDS:
        raise ConflictError(f"that has been corrected {MAX_WORDS - 1} times already")
    now = now_ms()
    if row is None:
        predicted = from_header(kept.predicted)[answer.instance]
        state = State.NEW
        row = Feedback(
            account_id=bearer.account_id,
            request_id=answer.request_id,
            instance=answer.instance,
            model=kept.model,
            revision=kept.revision,
            predicted=predicted.label[:MAX_LABEL_CHARACTERS],
            probability=predicted.probability,
            unsure=predicted.unsure,
            predicted_ms=kept.at_ms,
            label=said,
            words=1,
            given_ms=now,
        )
        session.add(row)
    else:
        state = State.CORRECTED
        row.label, row.words, row.given_ms = said, row.words + 1, now
    session.add(
        FeedbackWord(
            account_id=bearer.account_id,
            request_id=answer.request_id,
            instance=answer.instance,
            number=row.words,
            label=said,
            key_id=bearer.key_id,
            at_ms=now,
        )
    )
    # Two of one call may be of the same instance.
    session.flush()
    return _taken(row, state)


def _check(bearer: Bearer, answer: RightAnswer, kept: Prediction, labels: Labels) -> None:
    if not bearer.may_ask(kept.model):
        raise ForbiddenError(f"this key is not for model {kept.model}")
    predicted = from_header(kept.predicted)
    count = len(predicted)
    if not 0 <= answer.instance < count:
        told = f"the first {count} instances" if count == MAX_INSTANCES else f"{count} instances"
        raise InvalidValueError(f"{told} of that request are kept, from 0", "instance")
    if is_set(predicted[answer.instance].label) and answer.labels is None:
        told = f"pictures of {kept.model} may have several labels: `labels` says all, [] for none"
        raise InvalidValueError(told, "label")
    if not is_set(predicted[answer.instance].label) and answer.labels is not None:
        raise InvalidValueError(f"a picture of {kept.model} has one label: `label`", "labels")
    known = labels(kept.model, kept.revision)
    if not known:
        raise ConflictError(
            f"the labels of {kept.model}/{kept.revision} are not known here: its card is missing"
        )
    for label in (answer.label,) if answer.labels is None else answer.labels:
        if label not in known:
            some = ", ".join(known[:NAMED])
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            raise InvalidValueError(
                f"{label[:MAX_LABEL_CHARACTERS]!r} is no label of {kept.model}; its labels are "
                f"{some}{more}",
                "label" if answer.labels is None else "labels",
            )


def _missing(session: Session, own: tuple[str, str], days: int) -> AccountsError:
    """Why nothing is kept of a request."""
    event = session.get(Event, own)
    if event is None:
        return NotFoundError("there is no such request of this account")
    if event.state != BILLED:
        return ConflictError("that request had no answer")
    if (event.completed_ms or 0) < now_ms() - days * DAY_MS:
        return GoneError(f"what was predicted is kept for {days} days")
    return ConflictError(
        f"of that answer nothing was kept: its key has not the right {GIVES_FEEDBACK}, or it "
        "names no labels for a picture as a whole, which classification alone does"
    )


def _taken(row: Feedback, state: State) -> Taken:
    return Taken(
        row.request_id,
        row.instance,
        row.label,
        row.model,
        row.revision,
        row.predicted,
        row.label == row.predicted,
        state,
    )
