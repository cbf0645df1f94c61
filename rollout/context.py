"""What every command works with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.kubernetes import INFERENCE_SERVICE, Cluster
from rollout.cards import Expected, expected
from rollout.clock import Clock
from rollout.errors import NotFoundError
from rollout.inferenceservice import InferenceService
from rollout.ledger import Ledger, Say
from rollout.record import Action, Entry, Operation, Record
from rollout.transition import Limits, Transition


@dataclass(frozen=True)
class Context:
    """One InferenceService, and who works on it.

    Attributes:
        cards: folder of ``<model>/<revision>/model.json``.
        by: who is named in the history.
    """

    cluster: Cluster
    service: str
    ledger: Ledger
    transition: Transition
    clock: Clock
    say: Say
    cards: Path
    by: str

    def expected_of(self, models: dict[str, str], entry: Entry | None = None) -> list[Expected]:
        """What pods must answer with, by the local cards, else by a history entry's digests."""
        found = []
        for model, revision in models.items():
            item = expected(self.cards, model, revision)
            if entry is not None and not item.digest and entry.models.get(model) == revision:
                item = Expected(model, item.revision, entry.digests.get(model, ""), item.card)
            found.append(item)
        return found

    def observe(self, record: Record, service: InferenceService) -> Record:
        """The record with what was changed past it, so that a rollback can come back to it."""
        current = record.current
        if current is not None and record.specs.get(current.spec) == service.predictor:
            return record
        first = current is None
        digests = {item.model: item.digest for item in self.expected_of(service.models)}
        return record.with_entry(
            Action.FOUND if first else Action.CHANGED,
            self.clock.moment(),
            "unknown",
            "what ran when this history began"
            if first
            else "applied without this program (a deployment, or by hand)",
            knative_revision=service.rolled_out,
            predictor=service.predictor,
            digests={model: digest for model, digest in digests.items() if digest},
        )

    def update(self, **changes: Any) -> Operation:
        """Change the operation in the record."""
        record = self.ledger.change(
            lambda record: replace(
                record, operation=record.operation and replace(record.operation, **changes)
            )
        )
        assert record.operation is not None
        return record.operation

    def close(
        self, operation: Operation, action: Action, knative_revision: str, **more: Any
    ) -> Entry:
        """End the operation with its entry in the history.

        Args:
            more: see ``Record.with_entry``.
        """

        def end(record: Record) -> Record:
            ended = record.with_entry(
                action,
                self.clock.moment(),
                self.by,
                operation.why,
                operation.model,
                operation.revision,
                operation.digest,
                knative_revision,
                **more,
            )
            return replace(ended, operation=None)

        return self.ledger.change(end).history[-1]


def make_context(
    cluster: Cluster,
    service: str,
    holder: str,
    by: str,
    cards: Path,
    limits: Limits,
    clock: Clock,
    say: Say,
) -> Context:
    ledger = Ledger(cluster, service, holder, clock, say)
    transition = Transition(cluster, service, ledger, clock, say, limits)
    return Context(cluster, service, ledger, transition, clock, say, cards, by)


def services_of(cluster: Cluster) -> list[InferenceService]:
    """The InferenceServices whose predictor is told what it holds."""
    services = [InferenceService(item) for item in cluster.find(INFERENCE_SERVICE)]
    return [service for service in services if service.models]


def find_service(cluster: Cluster, model: str | None) -> str:
    """The InferenceService that holds a model, or the only one that there is.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    services = [s for s in services_of(cluster) if model is None or model in s.models]
    what = f"that holds {model}" if model else "with --model arguments"
    if not services:
        raise NotFoundError(f"namespace {cluster.namespace} has no InferenceService {what}")
    if len(services) > 1:
        names = ", ".join(service.name for service in services)
        raise NotFoundError(
            f"several InferenceServices are {what}: {names}; name one with --service"
        )
    return services[0].name
