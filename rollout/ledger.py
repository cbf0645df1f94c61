"""The record, kept in a ConfigMap that is only ever written by compare-and-swap."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from common.kubernetes import (
    CONFIG_MAP,
    INFERENCE_SERVICE,
    Cluster,
    KubernetesError,
    ObjectConflictError,
    ObjectNotFoundError,
)
from rollout.clock import Clock
from rollout.errors import BusyError, ConflictError
from rollout.record import Lock, Record, Stop
from rollout.waiting import Say

LOCK_SECONDS = 20.0
"""A lock that has not been renewed for so long is a dead command's."""
RENEW_SECONDS = 4.0
ATTEMPTS = 20
STOP_SECONDS = 30.0
"""How long a command that is asked to stop may take before its lock is taken away."""


class Ledger:
    """The record of one InferenceService, in the ConfigMap ``<service>-rollout``.

    Annotations of the InferenceService would not do: KServe makes new Knative revisions of them.
    A record that is older than the InferenceService trusts none of its names of those.

    Args:
        holder: who is at work, unique to this process.
    """

    def __init__(self, cluster: Cluster, service: str, holder: str, clock: Clock, say: Say) -> None:
        self._cluster = cluster
        self._service = service
        self._name = f"{service}-rollout"
        self._holder = holder
        self._clock = clock
        self._say = say
        self._held = False
        self._renewed_at = 0.0

    def read(self) -> Record:
        """The record as it stands; an empty one where there is none yet."""
        return self._read()[0]

    @contextlib.contextmanager
    def locked(self, stop_others: bool = False) -> Iterator[Record]:
        """Hold the lock; a dead command's is taken over when it has been seen not to move.

        Held already, it is held until the outer one lets go.

        Args:
            stop_others: ask a command at work to stop, and take its lock away if it does not.

        Raises:
            BusyError: another command is at work.
        """
        if self._held:
            yield self.read()
            return
        record = self._acquire(stop_others)
        try:
            yield record
        finally:
            with contextlib.suppress(ConflictError, KubernetesError):
                self._release()

    def change(self, mutate: Callable[[Record], Record]) -> Record:
        """Swap the record for what ``mutate`` makes of it, however often others come first.

        Raises:
            ConflictError: the lock that was held has been taken over.
            BusyError: somebody asked this command to stop.
        """

        def fenced(record: Record) -> Record:
            # Every write of the cluster is announced here first, so a command that has lost its
            # lock, or is asked to stop, writes nothing more.
            if self._held and (record.lock is None or record.lock.holder != self._holder):
                raise ConflictError("another command has taken over; this one stops here")
            if self._held and record.stop is not None:
                raise BusyError(
                    f"stopped: {record.stop.by} asked for it at {record.stop.at}; `status` says "
                    "where it stands"
                )
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

    def _acquire(self, stop_others: bool) -> Record:
        mine = Lock(self._holder, self._clock.moment(), 0)
        began = self._clock.monotonic()
        seen: Lock | None = None
        seen_at = began
        while True:
            now = self._clock.monotonic()
            # Not renewed while it was watched: its command is dead. Renewed although its command
            # was asked to stop: the lock is taken away, and `change` there sees that it is gone.
            dead = seen if seen is not None and now - seen_at >= LOCK_SECONDS else None
            ignored = stop_others and now - began >= STOP_SECONDS

            def take(record: Record, dead: Lock | None = dead, ignored: bool = ignored) -> Record:
                if record.lock in (None, mine, dead) or ignored:
                    return replace(record, lock=mine, stop=None)
                if stop_others and record.stop is None:
                    return replace(record, stop=Stop(self._holder, mine.since))
                return record

            record = self._swap(take)
            found = record.lock
            if found is None or found == mine:
                self._held, self._renewed_at = True, now
                return record
            if seen is None:
                seen = found
                wait = f"seeing if it still is ({LOCK_SECONDS:.0f} s)"
                if stop_others:
                    wait = f"asking it to stop ({STOP_SECONDS:.0f} s)"
                self._say(f"{found.holder} has been at work since {found.since}; {wait}")
            elif found != seen:
                seen, seen_at = found, now
                if not stop_others:
                    raise BusyError(
                        f"{found.holder} is at work since {found.since}; `rollback` stops it"
                    )
            self._clock.sleep(1.0)

    def _release(self) -> None:
        self._held = False

        def give_up(record: Record) -> Record:
            if record.lock is not None and record.lock.holder == self._holder:
                # A request to stop is answered by this; the one who asked takes the lock now.
                return replace(record, lock=None, stop=None)
            return record

        self._swap(give_up)

    def _read(self) -> tuple[Record, dict[str, Any] | None]:
        try:
            document = self._cluster.get(CONFIG_MAP, self._name)
        except ObjectNotFoundError:
            return Record(uid=self._uid), None
        record = Record.from_data(document.get("data") or {})
        return record.of_service(self._uid or record.uid, self._clock.moment()), document

    @cached_property
    def _uid(self) -> str:
        """The InferenceService's; empty where there is none."""
        try:
            found = self._cluster.get(INFERENCE_SERVICE, self._service)
        except ObjectNotFoundError:
            return ""
        return str(found["metadata"].get("uid", ""))

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
