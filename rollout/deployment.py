"""Whether deploying an overlay would undo a promotion, or cut into an open canary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rollout.cards import Cards
from rollout.errors import BusyError, RefusedError
from rollout.inferenceservice import InferenceService, Predictor, held_models
from rollout.journal import Journal
from rollout.moves import Moves
from rollout.record import STABLE, Action, Operation, Record
from rollout.recovery import find_operation, running_models
from rollout.revision_file import RevisionFile


@dataclass(frozen=True)
class Asked:
    """What a file asks for: the revision of each model.

    Attributes:
        way: how what runs gets into the file.
    """

    path: Path
    models: Mapping[str, str]
    way: str

    @classmethod
    def by_file(cls, file: RevisionFile) -> Asked:
        way = "`make promote` with no canary open writes what runs into the file"
        return cls(file.path, file.models, way)

    @classmethod
    def by_pod(cls, overlay: Path, predictor: Predictor) -> Asked:
        """Of one pod, whose manifest has the address of its revision."""
        return cls(overlay, held_models(predictor), "write the storageUri that runs into it")


def check_deployment(journal: Journal, moves: Moves, cards: Cards, files: list[Asked]) -> list[str]:
    """See that applying the overlay does no harm to what has been rolled out.

    Returns:
        What a person should know of it all the same.

    Raises:
        BusyError: a canary or a rollback is under way; applying would change the spec beneath it.
        RefusedError: the overlay names a revision that a promotion or a rollback has left.
    """
    record = journal.read()
    service = moves.read()
    operation = find_operation(moves.cluster, service, record, cards)
    if operation is not None:
        raise BusyError(
            f"{operation.title} is under way since {operation.since}, by {operation.by}; "
            "`promote` or `rollback` ends it, or `make deploy FORCE=1`, which discards it"
        )
    running = running_models(moves.cluster, service)
    return [note for file in files for note in _compare(record, service, running, file)]


def force_deployment(journal: Journal, moves: Moves, cards: Cards) -> list[str]:
    """End what is under way in the record, because a deployment is about to replace it.

    The split itself is left: it keeps the traffic where it is until what is deployed is ready,
    and `make deploy` takes it away then. A deployment that dies before that leaves a split that
    is not in the record, from which every command has a way on.

    Returns:
        What was discarded, for people.
    """
    with journal.locked(stop_others=True) as record:
        operation = find_operation(moves.cluster, moves.read(), record, cards)
        if operation is None:
            return []
        why = "discarded by a deployment with FORCE=1"

        def discard(record: Record) -> Record:
            digests = cards.digests(held_models(operation.before))
            at = journal.moment()
            record = record.observed(operation.before, operation.stable, digests, at)
            return replace(
                journal.with_end(record, operation, Action.DISCARDED, why, operation.candidate),
                operation=None,
            )

        journal.change(discard)
        return [f"{operation.title} is discarded: {_stand(operation)}"]


def _stand(operation: Operation) -> str:
    share = "" if operation.percent is None else f" at {operation.percent} %"
    return f"it was {operation.step.value}{share}; {operation.stable} keeps its traffic until then"


def _compare(
    record: Record, service: InferenceService, running: dict[str, str], file: Asked
) -> list[str]:
    notes = []
    for model, asked in file.models.items():
        has = running.get(model)
        if has is None or has == asked:
            continue
        if asked in _left(record, model):
            assert record.current is not None
            raise RefusedError(
                f"{file.path} asks for {model}/{asked}, but {service.name} runs {model}/{has} "
                f"({record.current.action.value} at {record.current.at} by {record.current.by}): "
                f"deploying would undo that. {file.way[0].upper()}{file.way[1:]}; "
                "`make deploy FORCE=1` deploys all the same"
            )
        notes.append(
            f"{model}/{asked} replaces {model}/{has} at once, without a canary: "
            "`canary` would let it prove itself first"
        )
    return notes


def _left(record: Record, model: str) -> set[str]:
    """Revisions of a model that the history has had and that are not the current one."""
    current = record.current
    if current is None:
        return set()
    had = {e.models.get(model, "") for e in record.history if e.action in STABLE}
    return had - {current.models.get(model, "")}
