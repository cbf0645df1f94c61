"""Whether deploying an overlay would undo a promotion, or cut into an open canary."""

from __future__ import annotations

from rollout.context import Context
from rollout.errors import BusyError, RefusedError
from rollout.record import STABLE, Record
from rollout.revision_file import RevisionFile


def check_deployment(ctx: Context, file: RevisionFile) -> list[str]:
    """See that applying the overlay does no harm to what has been rolled out.

    Returns:
        What a person should know of it all the same.

    Raises:
        BusyError: a canary or a rollback is under way; applying would change the spec beneath it.
        RefusedError: the overlay names a revision that a promotion or a rollback has left.
    """
    record = ctx.ledger.read()
    if record.operation is not None:
        raise BusyError(
            f"{record.operation.title} is under way since {record.operation.since}, by "
            f"{record.operation.by}; end it with `promote` or `rollback` before deploying"
        )
    running = ctx.transition.read().models
    notes = []
    for model, asked in file.models.items():
        has = running.get(model)
        if has is None or has == asked:
            continue
        if asked in _left(record, model):
            assert record.current is not None
            raise RefusedError(
                f"{file.path} asks for {model}/{asked}, but {model}/{has} runs "
                f"({record.current.action.value} at {record.current.at} by {record.current.by}): "
                "deploying would undo that. `promote --overlay …` with no canary open writes "
                "what runs into the file"
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
