"""A canary: one model's new revision gets a share of the predictor's calls."""

from __future__ import annotations

from dataclasses import replace

from rollout.cards import admit
from rollout.context import Context
from rollout.errors import BusyError, RefusedError, StartFailedError
from rollout.inferenceservice import InferenceService, held_models, with_revision
from rollout.record import Operation, Record, Step
from rollout.rollback import taken_back


def canary(
    ctx: Context, model: str, revision: str, percent: int, why: str = "", image: str = ""
) -> Operation | None:
    """Open a canary, go on with one that was interrupted, or change an open one's share.

    Args:
        percent: 0 to 100; at 0 the new revision runs, can be reached by its tag, and gets nothing.
        image: of the predictor; its own where empty.

    Returns:
        The open canary; None where the revision is what runs already.

    Raises:
        RefusedError: the revision is not admitted, or its pod answers as something else; the good
            spec is back.
        BusyError: another change is under way.
        StartFailedError: it did not start; the good spec is back.
    """
    with ctx.ledger.locked() as record:
        operation = record.operation
        if operation is None:
            operation = _begin(ctx, model, revision, percent, why, image)
            if operation is None:
                ctx.say(f"{model}/{revision} is what {ctx.service} runs already")
                return None
        else:
            operation = _resume(ctx, operation, model, revision, percent)
        return _carry_on(ctx, operation)


def plan_canary(ctx: Context, model: str, revision: str, percent: int, image: str) -> list[str]:
    """What ``canary`` would do, seen through as far as it goes without writing.

    The API server is asked whether it would take the new spec (a dry run of its own).

    Raises:
        Whatever ``canary`` would raise before its first write.
    """
    operation = ctx.ledger.read().operation
    if operation is not None:
        _require_same(operation, model, revision)
        return [f"go on with {operation.title}: step {operation.step.value}, {percent} %"]
    service = ctx.transition.read()
    draft = _draft(ctx, service, model, revision, percent, "", image)
    if draft is None:
        return [f"nothing: {model}/{revision} is what {ctx.service} runs already"]
    ctx.transition.rehearse(draft.after)
    return [
        f"write {model}={revision} (was {draft.was}) into InferenceService {ctx.service} at 0 %",
        f"wait for its Knative revision; {draft.stable} keeps all traffic",
        f"ask its pod for {', '.join(service.models)}: revision, digest {draft.digest}, contract",
        f"give it {percent} % and leave {100 - percent} % to {draft.stable}",
    ]


def _begin(
    ctx: Context, model: str, revision: str, percent: int, why: str, image: str
) -> Operation | None:
    service = ctx.transition.read()
    draft = _draft(ctx, service, model, revision, percent, why, image)
    if draft is None:
        return None

    def open_(record: Record) -> Record:
        if record.operation is not None:
            raise BusyError(f"{record.operation.title} is under way")
        return replace(ctx.observe(record, service), operation=draft)

    ctx.ledger.change(open_)
    ctx.say(f"{ctx.service}: {model}/{draft.was} → {model}/{revision}")
    return draft


def _draft(
    ctx: Context,
    service: InferenceService,
    model: str,
    revision: str,
    percent: int,
    why: str,
    image: str,
) -> Operation | None:
    after = with_revision(service.predictor, model, revision, image)
    was = service.models[model]
    if after == service.predictor and service.percent is None:
        return None
    service.require_canaries()
    require_settled(service)
    admitted = admit(ctx.cards, model, revision, was)
    return Operation(
        step=Step.STAGING,
        model=model,
        revision=revision,
        was=was,
        digest=admitted.digest,
        percent=percent,
        before=service.predictor,
        after=after,
        stable=service.rolled_out,
        candidate="",
        created_before=service.latest_created,
        generation=service.generation,
        by=ctx.by,
        since=ctx.clock.moment(),
        why=why,
    )


def require_settled(service: InferenceService) -> None:
    """See that no change is half done, whoever began it.

    Raises:
        BusyError: a split is set, or the latest Knative revision is not the one rolled out.
    """
    if service.percent is not None:
        raise BusyError(
            f"InferenceService {service.name} has a split of {service.percent} % that is not in "
            "the record: somebody opened a canary by hand; promote it or take it back first"
        )
    if not service.latest_created == service.latest_ready == service.rolled_out:
        raise BusyError(
            f"InferenceService {service.name} is still rolling out: latest "
            f"{service.latest_created}, ready {service.latest_ready}, "
            f"rolled out {service.rolled_out}"
        )


def _require_same(operation: Operation, model: str, revision: str) -> None:
    same = (operation.model, operation.revision) == (model, revision) and operation.target is None
    if not same:
        raise BusyError(
            f"{operation.title} is open since {operation.since}, by {operation.by}; "
            "`promote` or `rollback` ends it"
        )
    if operation.step is Step.RESTORING:
        raise BusyError(f"{operation.title} is being taken back; `rollback` goes on with that")
    if operation.step is Step.SETTLING:
        raise BusyError(f"{operation.title} is being promoted; `promote` goes on with that")


def _resume(
    ctx: Context, operation: Operation, model: str, revision: str, percent: int
) -> Operation:
    _require_same(operation, model, revision)
    ctx.say(f"going on with {operation.title} (step: {operation.step.value})")
    return ctx.update(percent=percent)


def _carry_on(ctx: Context, operation: Operation) -> Operation:
    if operation.step is Step.STAGING:
        try:
            candidate = ctx.transition.stage(operation.after, operation.stable)
            ctx.transition.check(candidate, ctx.expected_of(held_models(operation.after)))
        except (StartFailedError, RefusedError) as error:
            raise taken_back(ctx, error) from None
        operation = ctx.update(step=Step.OPEN, candidate=candidate)
    assert operation.percent is not None
    ctx.transition.shift(operation.percent, operation.candidate, operation.stable)
    return operation
