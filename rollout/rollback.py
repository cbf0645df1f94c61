"""The way back: out of an open canary, or any number of steps down the history.

KServe's own rollback knows one step and leaves the unwanted spec in the InferenceService as the
latest. This one puts a recorded spec back, so that the unwanted one is gone from it; Knative
makes a new Knative revision of that, and traffic moves only when it is ready.
"""

from __future__ import annotations

from dataclasses import replace

from common.kubernetes import ObjectNotFoundError
from rollout.context import Context
from rollout.errors import BusyError, RefusedError, RolloutError, StartFailedError
from rollout.inferenceservice import held_models
from rollout.knative import read_revision
from rollout.record import Action, Entry, Operation, Record, Step
from rollout.transition import not_restored


def rollback(ctx: Context, steps: int = 1, why: str = "") -> Entry:
    """Go back; an open canary is the first step.

    Returns:
        The new history entry.

    Raises:
        NotFoundError: the history does not reach that far.
        StartFailedError: the old spec does not start any more; what ran before is back.
        NotRestoredError: the canary's traffic is off, but the old spec is not ready yet.
    """
    with ctx.ledger.locked() as record:
        operation = record.operation
        if operation is not None and operation.target is not None:
            ctx.say(f"going on with {operation.title} (step: {operation.step.value})")
            return _carry_on(ctx, operation)
        if operation is not None and steps == 1:
            ctx.say(f"taking {operation.title} back")
            reason = operation.why if operation.step is Step.RESTORING else why
            return restore(ctx, Action.ABANDONED, reason)
        return _carry_on(ctx, _begin(ctx, operation, steps, why))


def plan_rollback(ctx: Context, steps: int) -> list[str]:
    """What ``rollback`` would do."""
    record = ctx.ledger.read()
    operation = record.operation
    if operation is not None and (steps == 1 or operation.target is not None):
        return [
            f"take {operation.title} back (step: {operation.step.value}): write the spec from "
            f"before it, at 0 %; all traffic on {operation.stable}",
            "wait for the new Knative revision of that spec, then give it all traffic",
        ]
    record = ctx.observe(record, ctx.transition.read())
    target = record.steps_back(steps if operation is None else steps - 1)
    ctx.transition.rehearse(record.predictor_of(target))
    return [
        f"write the spec of entry {target.number} ({_models(target)}), at 0 %",
        "wait for the new Knative revision of it, then give it all traffic",
    ]


def restore(ctx: Context, action: Action, why: str) -> Entry:
    """End the operation by putting its ``before`` back; the lock is held.

    Raises:
        NotRestoredError: the old spec is written and pinned, but not ready.
    """
    operation = ctx.ledger.operation
    service = ctx.transition.read()
    operation = ctx.update(
        step=Step.RESTORING,
        why=why or operation.why,
        # A person asks for this one: whatever else was written meanwhile goes too.
        generation=service.generation,
    )
    stable = ctx.transition.pin(operation, operation.before)
    try:
        revision = ctx.transition.stage(operation.before, stable)
        ctx.transition.settle(operation.before, revision)
    except StartFailedError as error:
        raise not_restored(error, stable) from None

    return ctx.close(operation, action, revision)


def taken_back(ctx: Context, error: RolloutError) -> RolloutError:
    """Put the good spec back after a failure, and give that failure with the news of it."""
    ctx.say(f"it is no good: {error}")
    action = Action.FAILED if isinstance(error, StartFailedError) else Action.REFUSED
    restore(ctx, action, str(error))
    return type(error)(f"{error}\nthe spec and the split from before are back")


def _begin(ctx: Context, operation: Operation | None, steps: int, why: str) -> Operation:
    service = ctx.transition.read()
    service.require_canaries()
    if operation is None and service.percent is not None:
        raise BusyError(
            f"InferenceService {service.name} has a split of {service.percent} % that is not in "
            "the record; promote that canary or take it back by hand first"
        )

    stable = service.rolled_out
    if operation is not None:
        record = ctx.ledger.read()
        staged = record.predictor_of(record.steps_back(steps - 1))
        stable = ctx.transition.pin(operation, staged)
        service = ctx.transition.read()

    def open_(record: Record) -> Record:
        if operation is None:
            record = ctx.observe(record, service)
        target = record.steps_back(steps if operation is None else steps - 1)
        after = record.predictor_of(target)
        before = service.predictor if operation is None else operation.before
        model, was, revision = _difference(before, target)
        new = Operation(
            step=Step.STAGING,
            model=model,
            revision=revision,
            was=was,
            digest=target.digests.get(model, ""),
            percent=None,
            before=before,
            after=after,
            stable=stable,
            candidate="",
            created_before=service.latest_created,
            generation=service.generation,
            by=ctx.by,
            since=ctx.clock.moment(),
            why=why,
            target=target.number,
        )
        return replace(record, operation=new)

    record = ctx.ledger.change(open_)
    assert record.operation is not None
    ctx.say(
        f"{ctx.service}: back to entry {record.operation.target}: "
        f"{_models(record.entry(record.operation.target or 0))}"
    )
    return record.operation


def _carry_on(ctx: Context, operation: Operation) -> Entry:
    assert operation.target is not None
    target = ctx.ledger.read().entry(operation.target)
    if operation.step is Step.RESTORING:
        return restore(ctx, Action.FAILED, operation.why)
    digests: dict[str, str] = {}
    if operation.step is Step.STAGING:
        operation = _go_back_at_once(ctx, operation, target)
        try:
            candidate = ctx.transition.stage(operation.after, operation.stable)
            digests = ctx.transition.check(candidate, ctx.expected_of(target.models, target))
        except (StartFailedError, RefusedError) as error:
            if operation.progress.get("retreated"):
                # The traffic is where it was wanted; there is nothing to take back.
                raise not_restored(error, operation.stable) from None
            raise taken_back(ctx, error) from None
        operation = ctx.update(step=Step.SETTLING, candidate=candidate)
    ctx.transition.settle(operation.after, operation.candidate)

    return ctx.close(
        operation,
        Action.ROLLED_BACK,
        operation.candidate,
        predictor=operation.after,
        digests=digests or target.digests,
        restores=target,
    )


def _go_back_at_once(ctx: Context, operation: Operation, target: Entry) -> Operation:
    """Use KServe's own step back where it leads to the same models: it takes effect at once."""
    if not operation.progress.get("retreated"):
        previous = ctx.transition.read().previous
        if previous in ("", operation.stable) or not ctx.transition.can_retreat(previous):
            return operation
        try:
            models = read_revision(ctx.cluster, previous).models
        except ObjectNotFoundError:
            return operation
        if models != target.models:
            return operation
        operation = ctx.update(stable=previous, progress={"retreated": True})
    ctx.transition.retreat(operation.stable, operation.after)
    return operation


def _difference(before: dict[str, object], target: Entry) -> tuple[str, str, str]:
    """The first model whose revision a rollback changes: its name, revision before and after."""
    held = held_models(before)
    for model, revision in target.models.items():
        if held.get(model) != revision:
            return model, held.get(model, ""), revision
    return "", "", ""


def _models(entry: Entry) -> str:
    return ", ".join(f"{model}/{revision}" for model, revision in entry.models.items())
