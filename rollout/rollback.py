"""The way back: out of an open canary, or any number of steps down the history.

KServe's own rollback knows one step and leaves the unwanted spec in the InferenceService as the
latest. This one puts a recorded spec back, so that the unwanted one is gone from it; Knative
makes a new Knative revision of that, and traffic moves only when it is ready.
"""

from __future__ import annotations

from dataclasses import replace

from common.kubernetes import ObjectNotFoundError
from rollout.cards import Cards
from rollout.errors import RefusedError, RolloutError, StartFailedError
from rollout.inferenceservice import InferenceService, Predictor, held_models
from rollout.journal import Journal
from rollout.knative import read_revision
from rollout.moves import Moves, not_restored
from rollout.record import Action, Entry, Operation, Record, Step
from rollout.recovery import rebuild


def rollback(journal: Journal, moves: Moves, cards: Cards, steps: int = 1, why: str = "") -> Entry:
    """Go back; what is under way is the first step, whether the record knows of it or not.

    A command that is at work is asked to stop first.

    Returns:
        The new history entry.

    Raises:
        NotFoundError: the history does not reach that far.
        StartFailedError: the old spec does not start any more; what ran before is back.
        NotRestoredError: the canary's traffic is off, but the old spec is not ready yet.
    """
    with journal.locked(stop_others=True) as record:
        operation = record.operation
        if operation is None:
            service = moves.read()
            service.require_canaries()
            operation = rebuild(moves.cluster, service, record, cards)
            if operation is not None:
                moves.tell(f"{operation.title} is not in the record; found on the cluster")
                record.observed(operation.before, operation.stable, {}, "").steps_back(steps - 1)
                journal.adopt(operation, cards.digests(held_models(operation.before)))
        if operation is not None and operation.target is not None:
            moves.tell(f"going on with {operation.title} (step: {operation.step.value})")
            return _carry_on(journal, moves, cards, moves.require_ours(operation))
        if operation is not None and steps == 1:
            moves.tell(f"taking {operation.title} back")
            reason = operation.why if operation.step is Step.RESTORING else why
            return restore(journal, moves, Action.ABANDONED, reason)
        return _carry_on(
            journal, moves, cards, _begin(journal, moves, cards, operation, steps, why)
        )


def plan_rollback(journal: Journal, moves: Moves, cards: Cards, steps: int) -> list[str]:
    """What ``rollback`` would do."""
    record = journal.read()
    service = moves.read()
    operation = record.operation or rebuild(moves.cluster, service, record, cards)
    if operation is not None and (steps == 1 or operation.target is not None):
        return [
            f"take {operation.title} back (step: {operation.step.value}): write the spec from "
            f"before it, at 0 %; all traffic on {operation.stable}",
            "wait for the new Knative revision of that spec, then give it all traffic",
        ]
    record = _observed(record, service, operation, cards, journal.moment())
    target = record.steps_back(steps if operation is None else steps - 1)
    moves.rehearse(record.predictor_of(target))
    return [
        f"write the spec of entry {target.number} ({_models(target)}), at 0 %",
        "wait for the new Knative revision of it, then give it all traffic",
    ]


def restore(journal: Journal, moves: Moves, action: Action, why: str) -> Entry:
    """End the operation by putting its ``before`` back; the lock is held.

    Raises:
        NotRestoredError: the old spec is written and pinned, but not ready.
    """
    operation = journal.operation
    service = moves.read()
    # A person asks for this one: whatever else was written meanwhile goes too, and is kept in the
    # history. "Restoring" is written down before the spec is: whoever goes on from here must not
    # take the old spec, which is the latest then, for a canary.
    operation = replace(
        operation,
        step=Step.RESTORING,
        why=why or operation.why,
        generation=service.generation,
    )
    journal.change(lambda record: _discarding(record, service, operation, journal))
    operation, stable = moves.pin(operation, operation.before)
    try:
        operation, revision = moves.stage(operation, operation.before, stable)
        operation = moves.settle(operation, operation.before, revision)
    except StartFailedError as error:
        raise not_restored(error, stable) from None
    return journal.end(operation, action, revision)


def taken_back(journal: Journal, moves: Moves, error: RolloutError) -> RolloutError:
    """Put the good spec back after a failure, and give that failure with the news of it."""
    moves.tell(f"rolling back: {error}")
    action = Action.FAILED if isinstance(error, StartFailedError) else Action.REFUSED
    restore(journal, moves, action, str(error))
    return type(error)(f"{error}\nthe spec and the split from before are back")


def _discarding(
    record: Record, service: InferenceService, operation: Operation, journal: Journal
) -> Record:
    """The record with the operation, and with the spec of somebody else that goes now."""
    if service.predictor not in (operation.before, operation.after):
        record = record.with_entry(
            Action.DISCARDED,
            journal.moment(),
            "unknown",
            f"a spec that was applied without this program while {operation.title} was under "
            f"way; {journal.by} rolls back",
            discarded=service.predictor,
        )
    return replace(record, operation=operation)


def _begin(
    journal: Journal,
    moves: Moves,
    cards: Cards,
    operation: Operation | None,
    steps: int,
    why: str,
) -> Operation:
    service = moves.read()
    service.require_canaries()
    stable = service.rolled_out
    if operation is not None:
        record = journal.read()
        staged = record.predictor_of(record.steps_back(steps - 1))
        # The candidate's traffic goes first: if the command dies here, the record still tells of
        # the canary, and a rollback of it is what is gone on with.
        operation, stable = moves.pin(operation, staged)
        service = moves.read()

    def open_(record: Record) -> Record:
        record = _observed(record, service, operation, cards, journal.moment())
        target = record.steps_back(steps if operation is None else steps - 1)
        after = record.predictor_of(target)
        before = service.predictor if operation is None else operation.before
        model, was, revision = _difference(before, target)
        if operation is not None:
            # The canary ends here, and the history tells of it as of any other.
            record = journal.with_end(record, operation, Action.ABANDONED, why)
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
            by=journal.by,
            since=journal.moment(),
            why=why,
            target=target.number,
        )
        return replace(record, operation=new)

    record = journal.change(open_)
    assert record.operation is not None
    moves.tell(
        f"{service.name}: back to entry {record.operation.target}: "
        f"{_models(record.entry(record.operation.target or 0))}"
    )
    return record.operation


def _observed(
    record: Record,
    service: InferenceService,
    operation: Operation | None,
    cards: Cards,
    at: str,
) -> Record:
    """The record with what runs; under a canary that is what the record tells of already."""
    if operation is not None:
        digests = cards.digests(held_models(operation.before))
        return record.observed(operation.before, operation.stable, digests, at)
    digests = cards.digests(service.models)
    return record.observed(service.predictor, service.rolled_out, digests, at)


def _carry_on(journal: Journal, moves: Moves, cards: Cards, operation: Operation) -> Entry:
    assert operation.target is not None
    target = journal.read().entry(operation.target)
    if operation.step is Step.RESTORING:
        return restore(journal, moves, Action.FAILED, operation.why)
    digests: dict[str, str] = {}
    if operation.step is Step.STAGING:
        operation = _go_back_at_once(journal, moves, operation, target)
        try:
            operation, candidate = moves.stage(operation, operation.after, operation.stable)
            digests = moves.check(candidate, cards.all_expected(target.models, target))
        except (StartFailedError, RefusedError) as error:
            if operation.progress.get("retreated"):
                # The traffic is where it was wanted; there is nothing to take back.
                raise not_restored(error, operation.stable) from None
            raise taken_back(journal, moves, error) from None
        # From here on it is not started anew, but only given everything.
        operation = journal.save(replace(operation, step=Step.SETTLING, candidate=candidate))
    operation = moves.settle(operation, operation.after, operation.candidate)
    return journal.end(
        operation,
        Action.ROLLED_BACK,
        operation.candidate,
        predictor=operation.after,
        digests=digests or target.digests,
        restores=target,
    )


def _go_back_at_once(
    journal: Journal, moves: Moves, operation: Operation, target: Entry
) -> Operation:
    """Use KServe's own step back where it leads to the same models: it takes effect at once."""
    if not operation.progress.get("retreated"):
        previous = moves.read().previous
        if previous in ("", operation.stable) or not moves.can_retreat(previous):
            return operation
        try:
            models = read_revision(moves.cluster, previous).models
        except ObjectNotFoundError:
            return operation
        if models != target.models:
            return operation
        # Written down first: once the traffic has gone back, KServe's memory says nothing of it,
        # and a failed start after that must not send the traffic forward again.
        operation = journal.save(replace(operation, stable=previous, progress={"retreated": True}))
    return moves.retreat(operation, operation.stable, operation.after)


def _difference(before: Predictor, target: Entry) -> tuple[str, str, str]:
    """The first model whose revision a rollback changes: its name, revision before and after."""
    held = held_models(before)
    for model, revision in target.models.items():
        if held.get(model) != revision:
            return model, held.get(model, ""), revision
    return "", "", ""


def _models(entry: Entry) -> str:
    return ", ".join(f"{model}/{revision}" for model, revision in entry.models.items())
