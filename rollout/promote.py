"""Promotion: the canary gets everything and becomes what the next one is measured against."""

from __future__ import annotations

from dataclasses import replace

from rollout.cards import Cards
from rollout.errors import BusyError, NotFoundError, RefusedError
from rollout.inferenceservice import held_models
from rollout.journal import Journal
from rollout.knative import read_revision
from rollout.moves import Moves
from rollout.record import Action, Entry, Operation, Record, Step
from rollout.recovery import find_operation


def promote(journal: Journal, moves: Moves, cards: Cards, why: str = "") -> Entry:
    """Promote the open canary, or go on with a promotion that was interrupted.

    Returns:
        The new history entry.

    Raises:
        NotFoundError: no canary is open.
        BusyError: the canary has not started yet, or is being taken back.
        ConflictError: somebody else changed the spec under the canary.
        RefusedError: its Knative revision is not ready any more, or answers as something else.
    """
    with journal.locked() as record:
        operation = moves.require_ours(_promotable(moves, cards, record))
        if operation.step is Step.OPEN:
            condition = read_revision(moves.cluster, operation.candidate).condition
            if condition.ready is not True:
                raise RefusedError(
                    f"{operation.candidate} is not ready ({condition.reason}); not promoted"
                )
        models = held_models(operation.after)
        digests = moves.check(operation.candidate, cards.all_expected(models))
        # The record says "settling" from before the share is taken away: a command that dies
        # between the two is gone on with by `promote`, and `canary` no longer sets a share.
        operation = replace(operation, step=Step.SETTLING, why=why or operation.why)
        if record.operation is None:
            journal.adopt(operation, cards.digests(held_models(operation.before)))
        else:
            journal.save(operation)
        operation = moves.settle(operation, operation.after, operation.candidate)
        return journal.end(
            operation,
            Action.PROMOTED,
            operation.candidate,
            predictor=operation.after,
            digests=digests or cards.digests(models),
        )


def plan_promotion(journal: Journal, moves: Moves, cards: Cards) -> list[str]:
    """What ``promote`` would do."""
    operation = moves.require_ours(_promotable(moves, cards, journal.read()))
    return [
        f"give all traffic to {operation.candidate} ({operation.title}) "
        "by taking canaryTrafficPercent away",
        "wait until KServe calls it rolled out, and write it into the history",
    ]


def _promotable(moves: Moves, cards: Cards, record: Record) -> Operation:
    operation = find_operation(moves.cluster, moves.read(), record, cards)
    if operation is None or operation.target is not None:
        raise NotFoundError("no canary is open")
    if operation.step is Step.STAGING:
        raise BusyError(f"{operation.title} has not started yet; `canary` goes on with that")
    if operation.step is Step.RESTORING:
        raise BusyError(f"{operation.title} is being taken back; `rollback` goes on with that")
    return operation
