"""Promotion: the canary gets everything and becomes what the next one is measured against."""

from __future__ import annotations

from rollout.context import Context
from rollout.errors import BusyError, NotFoundError, RefusedError
from rollout.inferenceservice import held_models
from rollout.knative import read_revision
from rollout.record import Action, Entry, Operation, Record, Step


def promote(ctx: Context, why: str = "") -> Entry:
    """Promote the open canary, or go on with a promotion that was interrupted.

    Returns:
        The new history entry.

    Raises:
        NotFoundError: no canary is open.
        BusyError: the canary has not started yet, or is being taken back.
        RefusedError: its Knative revision is not ready any more.
    """
    with ctx.ledger.locked() as record:
        operation = _promotable(record)
        if operation.step is Step.OPEN:
            condition = read_revision(ctx.cluster, operation.candidate).condition
            if condition.ready is not True:
                raise RefusedError(
                    f"{operation.candidate} is not ready ({condition.reason}); not promoted"
                )
            operation = ctx.update(step=Step.SETTLING, why=why or operation.why)
        digests = ctx.transition.check(
            operation.candidate, ctx.expected_of(held_models(operation.after))
        )
        ctx.transition.settle(operation.after, operation.candidate)

        if not digests:
            expected = ctx.expected_of(held_models(operation.after))
            digests = {item.model: item.digest for item in expected}
        return ctx.close(
            operation,
            Action.PROMOTED,
            operation.candidate,
            predictor=operation.after,
            digests=digests,
        )


def plan_promotion(ctx: Context) -> list[str]:
    """What ``promote`` would do."""
    operation = _promotable(ctx.ledger.read())
    return [
        f"give all traffic to {operation.candidate} ({operation.model}/{operation.revision}) "
        "by taking canaryTrafficPercent away",
        "wait until KServe calls it rolled out, and write it into the history",
    ]


def _promotable(record: Record) -> Operation:
    operation = record.operation
    if operation is None or operation.target is not None:
        raise NotFoundError("no canary is open")
    if operation.step is Step.STAGING:
        raise BusyError(f"{operation.title} has not started yet; `canary` goes on with that")
    if operation.step is Step.RESTORING:
        raise BusyError(f"{operation.title} is being taken back; `rollback` goes on with that")
    return operation
