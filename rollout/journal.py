"""What commands write down: the change under way, and its end in the history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from rollout.clock import Clock
from rollout.errors import NotFoundError
from rollout.ledger import Ledger
from rollout.record import Action, Entry, Judged, Operation, Record


class Journal:
    """The record, written in the name of one person.

    Args:
        by: who is named in the history.
    """

    def __init__(self, ledger: Ledger, clock: Clock, by: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self.by = by

    def read(self) -> Record:
        return self._ledger.read()

    def locked(self, stop_others: bool = False) -> AbstractContextManager[Record]:
        """See ``Ledger.locked``."""
        return self._ledger.locked(stop_others)

    def moment(self) -> str:
        return self._clock.moment()

    def change(self, mutate: Callable[[Record], Record]) -> Record:
        """See ``Ledger.change``."""
        return self._ledger.change(mutate)

    @property
    def operation(self) -> Operation:
        """The change under way.

        Raises:
            NotFoundError: there is none.
        """
        operation = self.read().operation
        if operation is None:
            raise NotFoundError("there is no canary and no rollback under way")
        return operation

    def adopt(self, operation: Operation, digests: dict[str, str]) -> Operation:
        """Write down a change that was found on the cluster, and what ran before it.

        Args:
            digests: of the models that ran before.
        """

        def write(record: Record) -> Record:
            before = record.observed(operation.before, operation.stable, digests, self.moment())
            return replace(before, operation=operation)

        self._ledger.change(write)
        return operation

    def save(self, operation: Operation) -> Operation:
        """Write where the change stands, before the step that it tells of is taken."""
        self._ledger.change(lambda record: replace(record, operation=operation))
        return operation

    def end(
        self, operation: Operation, action: Action, knative_revision: str, **more: Any
    ) -> Entry:
        """End the change with its entry in the history.

        Args:
            more: see ``Record.with_entry``.
        """

        def close(record: Record) -> Record:
            ended = self.with_end(
                record, operation, action, operation.why, knative_revision, **more
            )
            return replace(ended, operation=None)

        return self._ledger.change(close).history[-1]

    def with_end(
        self,
        record: Record,
        operation: Operation,
        action: Action,
        why: str,
        knative_revision: str = "",
        **more: Any,
    ) -> Record:
        """The record with an entry of how an operation ended, or was given up."""
        record = record.with_entry(
            action,
            self._clock.moment(),
            self.by,
            why,
            operation.model,
            operation.revision,
            operation.digest,
            knative_revision,
            **more,
        )
        if not operation.progress.get("gate"):
            return record
        judged = Judged(record.history[-1].number, operation.was, operation.progress)
        return replace(record, judged=judged)
