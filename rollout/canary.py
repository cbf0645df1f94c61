"""A canary: one model's new revision gets a share of the predictor's calls, or of one pod's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rollout.cards import Cards
from rollout.errors import BusyError, RefusedError, StartFailedError
from rollout.inferenceservice import InferenceService, held_models, with_revision
from rollout.journal import Journal
from rollout.moves import Moves
from rollout.record import Operation, Record, Step
from rollout.recovery import find_operation
from rollout.rollback import taken_back


@dataclass(frozen=True)
class Wish:
    """What a canary is asked for.

    Attributes:
        percent: 0 to 100; at 0 the new revision runs, can be reached by its tag, and gets nothing.
        image: of the predictor; its own where empty.
        uri: where one pod fetches the revision; beside the one it has where empty.
    """

    model: str
    revision: str
    percent: int
    why: str = ""
    image: str = ""
    uri: str = ""

    @property
    def identity(self) -> str:
        return f"{self.model}/{self.revision}"


def canary(journal: Journal, moves: Moves, cards: Cards, wish: Wish) -> Operation | None:
    """Open a canary, go on with one that was interrupted, or change an open one's share.

    Returns:
        The open canary; None where the revision is what runs already.

    Raises:
        RefusedError: the revision is not admitted, or its pod answers as something else; the good
            spec is back.
        BusyError: another change is under way.
        ConflictError: somebody else changed the spec under an open canary.
        StartFailedError: it did not start; the good spec is back.
    """
    with journal.locked() as record:
        service = moves.read()
        operation = find_operation(moves.cluster, service, record, cards)
        if operation is not None:
            operation = _resume(journal, moves, cards, record, operation, wish)
        else:
            draft = _draft(journal, cards, service, wish)
            if draft is None:
                return None
            operation = _begin(journal, cards, service, draft)
            moves.tell(f"{service.name}: {wish.model}/{draft.was} → {wish.identity}")
        return _carry_on(journal, moves, cards, operation)


def plan_canary(journal: Journal, moves: Moves, cards: Cards, wish: Wish) -> list[str]:
    """What ``canary`` would do, seen through as far as it goes without writing.

    The API server is asked whether it would take the new spec (a dry run of its own).

    Raises:
        Whatever ``canary`` would raise before its first write.
    """
    service = moves.read()
    operation = find_operation(moves.cluster, service, journal.read(), cards)
    if operation is not None:
        _require_same(operation, wish)
        return [f"go on with {operation.title}: step {operation.step.value}, {wish.percent} %"]
    draft = _draft(journal, cards, service, wish)
    if draft is None:
        return [f"nothing: {wish.identity} is what {service.name} runs already"]
    moves.rehearse(draft.after)
    return [
        f"write {wish.model}={wish.revision} (was {draft.was}) into InferenceService "
        f"{service.name} at 0 %",
        f"wait for its Knative revision; {draft.stable} keeps all traffic",
        f"ask its pod for {', '.join(service.models)}: revision, digest {draft.digest}, contract",
        f"give it {wish.percent} % and leave {100 - wish.percent} % to {draft.stable}",
    ]


def _begin(
    journal: Journal, cards: Cards, service: InferenceService, draft: Operation
) -> Operation:
    # Before the spec is touched: what runs goes into the history as the place to come back to,
    # and the change into the record, so that a command that dies here leaves a way on.
    def open_(record: Record) -> Record:
        if record.operation is not None:
            raise BusyError(f"{record.operation.title} is under way")
        record = record.observed(
            service.predictor,
            service.rolled_out,
            cards.digests(service.models),
            journal.moment(),
        )
        return replace(record, operation=draft)

    journal.change(open_)
    return draft


def _draft(
    journal: Journal, cards: Cards, service: InferenceService, wish: Wish
) -> Operation | None:
    after = with_revision(service.predictor, wish.model, wish.revision, wish.image, wish.uri)
    was = service.models[wish.model]
    settled = service.latest_created == service.rolled_out
    if after == service.predictor and service.percent is None and settled:
        return None
    service.require_canaries()
    require_settled(service)
    admit = cards.admit_beside if service.storage_uri else cards.admit
    admitted = admit(wish.model, wish.revision, was)
    return Operation(
        step=Step.STAGING,
        model=wish.model,
        revision=wish.revision,
        was=was,
        digest=admitted.digest,
        percent=wish.percent,
        before=service.predictor,
        after=after,
        stable=service.rolled_out,
        candidate="",
        created_before=service.latest_created,
        generation=service.generation,
        by=journal.by,
        since=journal.moment(),
        why=wish.why,
    )


def require_settled(service: InferenceService) -> None:
    """See that no deployment is half done, whoever began it.

    Raises:
        BusyError: the latest Knative revision is not the one rolled out.
    """
    if not service.latest_created == service.latest_ready == service.rolled_out:
        raise BusyError(
            f"InferenceService {service.name} is still rolling out: latest "
            f"{service.latest_created}, ready {service.latest_ready}, "
            f"rolled out {service.rolled_out}; wait for it, or `rollback` takes it back"
        )


def _require_same(operation: Operation, wish: Wish) -> None:
    same = operation.target is None and (operation.model, operation.revision) == (
        wish.model,
        wish.revision,
    )
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
    journal: Journal,
    moves: Moves,
    cards: Cards,
    record: Record,
    operation: Operation,
    wish: Wish,
) -> Operation:
    # All that can be refused is, before the record is touched.
    _require_same(operation, wish)
    operation = moves.require_ours(operation)
    moves.tell(f"going on with {operation.title} (step: {operation.step.value})")
    operation = replace(operation, percent=wish.percent)
    if record.operation is not None:
        return journal.save(operation)
    journal.adopt(operation, cards.digests(held_models(operation.before)))
    try:
        if operation.step is Step.OPEN:
            # Nobody has asked its pods yet what they are.
            models = cards.all_expected(held_models(operation.after))
            moves.check(operation.candidate, models)
    except RefusedError as error:
        raise taken_back(journal, moves, error) from None
    return operation


def _carry_on(journal: Journal, moves: Moves, cards: Cards, operation: Operation) -> Operation:
    if operation.step is Step.STAGING:
        try:
            operation, candidate = moves.stage(operation, operation.after, operation.stable)
            moves.check(candidate, cards.all_expected(held_models(operation.after)))
        except (StartFailedError, RefusedError) as error:
            raise taken_back(journal, moves, error) from None
        # Only now, at 0 % and asked: from here on `canary` sets shares and starts nothing anew.
        operation = journal.save(replace(operation, step=Step.OPEN, candidate=candidate))
    assert operation.percent is not None
    return moves.shift(operation, operation.percent)
