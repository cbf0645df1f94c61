"""The record, kept in a ConfigMap that is only ever written by compare-and-swap."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from common.kubernetes import (
    CONFIG_MAP,
    Cluster,
    KubernetesError,
    ObjectConflictError,
    ObjectNotFoundError,
)
from rollout.clock import Clock
from rollout.errors import BusyError, ConflictError, NotFoundError
from rollout.record import Lock, Operation, Record

LOCK_SECONDS = 20.0
"""A lock that has not been renewed for so long is a dead command's."""
RENEW_SECONDS = 4.0
ATTEMPTS = 20

Say = Callable[[str], None]


class Ledger:
    """The record of one InferenceService, in the ConfigMap ``<service>-rollout``.

    Annotations of the InferenceService would not do: KServe makes new Knative revisions of them.

    Args:
        holder: who is at work, unique to this process.
    """

    def __init__(self, cluster: Cluster, service: str, holder: str, clock: Clock, say: Say) -> None:
        self._cluster = cluster
        self._name = f"{service}-rollout"
        self._holder = holder
        self._clock = clock
        self._say = say
        self._held = False
        self._renewed_at = 0.0

    def read(self) -> Record:
        """The record as it stands; an empty one where there is none yet."""
        return self._read()[0]

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

    @contextlib.contextmanager
    def locked(self) -> Iterator[Record]:
        """Hold the lock; a dead command's is taken over when it has been seen not to move.

        Held already, it is held until the outer one lets go.

        Raises:
            BusyError: another command is at work.
        """
        if self._held:
            yield self.read()
            return
        record = self._acquire()
        try:
            yield record
        finally:
            with contextlib.suppress(ConflictError, KubernetesError):
                self._release()

    def change(self, mutate: Callable[[Record], Record]) -> Record:
        """Swap the record for what ``mutate`` makes of it, however often others come first.

        Raises:
            ConflictError: the lock that was held has been taken over.
        """

        def fenced(record: Record) -> Record:
            if self._held and (record.lock is None or record.lock.holder != self._holder):
                raise ConflictError("another command has taken over; this one stops here")
            return self._renew(mutate(record))

        return self._swap(fenced)

    def keep(self) -> None:
        """Renew the lock if it is time to; called from every wait."""
        if self._held and self._clock.monotonic() - self._renewed_at >= RENEW_SECONDS:
            self.change(lambda record: record)

    def _renew(self, record: Record) -> Record:
        if record.lock is None or not self._held:
            return record
        self._renewed_at = self._clock.monotonic()
        return replace(record, lock=replace(record.lock, renewed=record.lock.renewed + 1))

    def _acquire(self) -> Record:
        mine = Lock(self._holder, self._clock.moment(), 0)
        seen: Lock | None = None
        seen_at = self._clock.monotonic()
        while True:
            expired = seen is not None and self._clock.monotonic() - seen_at >= LOCK_SECONDS

            def take(record: Record, dead: Lock | None = seen if expired else None) -> Record:
                if record.lock is None or record.lock == dead:
                    return replace(record, lock=mine)
                return record

            record = self._swap(take)
            if record.lock == mine:
                self._held, self._renewed_at = True, self._clock.monotonic()
                return record
            found = record.lock
            if seen is None:
                seen, seen_at = found, self._clock.monotonic()
                assert found is not None
                self._say(
                    f"{found.holder} has been at work since {found.since}; seeing if it still is "
                    f"({LOCK_SECONDS:.0f} s)"
                )
            elif found != seen:
                assert found is not None
                raise BusyError(f"{found.holder} is at work since {found.since}")
            self._clock.sleep(1.0)

    def _release(self) -> None:
        self._held = False

        def give_up(record: Record) -> Record:
            if record.lock is not None and record.lock.holder == self._holder:
                return replace(record, lock=None)
            return record

        self._swap(give_up)

    def _read(self) -> tuple[Record, dict[str, Any] | None]:
        try:
            document = self._cluster.get(CONFIG_MAP, self._name)
        except ObjectNotFoundError:
            return Record(), None
        return Record.from_data(document.get("data") or {}), document

    def _swap(self, mutate: Callable[[Record], Record]) -> Record:
        for _ in range(ATTEMPTS):
            record, document = self._read()
            changed = mutate(record)
            if changed == record and document is not None:
                return record
            try:
                if document is None:
                    self._cluster.create(CONFIG_MAP, self._document(changed))
                else:
                    self._cluster.replace(CONFIG_MAP, {**document, "data": changed.to_data()})
                return changed
            except ObjectConflictError:
                continue
        raise ConflictError(f"ConfigMap {self._name} changes faster than it can be written")

    def _document(self, record: Record) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._name,
                "namespace": self._cluster.namespace,
                "labels": {"app.kubernetes.io/managed-by": "vision-rollout"},
            },
            "data": record.to_data(),
        }
