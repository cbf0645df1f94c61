"""Who is stable, who is latest, and who gets what: as it is on the cluster now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from common.kubernetes import INFERENCE_SERVICE, Cluster, ObjectNotFoundError
from common.table import table
from rollout.cards import Cards
from rollout.inferenceservice import InferenceService, held_models, shares
from rollout.knative import Route, is_ready, pods_of, read_revision, read_route
from rollout.record import Operation, Record, spec_key
from rollout.recovery import find_operation


@dataclass(frozen=True)
class Row:
    """One Knative revision that has traffic, is the latest, or is about to be.

    ``role`` is ``stable``, ``canary``, ``latest`` or ``old``; ``pods_ready`` of ``pods``.
    """

    knative_revision: str
    role: str
    percent: int
    ready: bool
    reason: str
    pods_ready: int
    pods: int
    models: dict[str, str]


@dataclass(frozen=True)
class Status:
    """Everything that ``status`` shows.

    Attributes:
        stable, latest: Knative revisions: rolled out, and made of the spec as it is now.
        asked: the split as the spec asks for it, None without one.
        settled: the split is as asked, and nothing is under way.
        changed_elsewhere: the spec is not what the record says was written last.
        operation: what is under way; ``recorded`` in it is false where the record does not know.
        storage_uri: of one pod; else empty.
    """

    service: str
    namespace: str
    url: str
    models: dict[str, str]
    stable: str
    latest: str
    asked: int | None
    settled: bool
    changed_elsewhere: bool
    operation: dict[str, Any] | None
    storage_uri: str
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        held = ", ".join(f"{model}/{revision}" for model, revision in self.models.items())
        held = held or self.storage_uri
        lines = [f"InferenceService {self.service} in namespace {self.namespace}: {held}"]
        if self.operation is not None:
            lines.append(self.operation["text"])
            if not self.operation["recorded"]:
                lines.append(
                    "not in the record: found on the cluster; `promote`, `rollback` or the same "
                    "`canary` goes on from there"
                )
        elif self.settled:
            lines.append("settled: nothing is under way")
        else:
            lines.append(
                "not settled: a deployment is starting, or does not start; `rollback` takes it back"
            )
        if self.changed_elsewhere:
            lines.append("the spec was changed without this program since its last change")
        rows = [
            (
                row.knative_revision,
                row.role,
                f"{row.percent} %",
                "yes" if row.ready else f"no ({row.reason})" if row.reason else "no",
                f"{row.pods_ready}/{row.pods}",
                ", ".join(f"{model}/{revision}" for model, revision in row.models.items()),
            )
            for row in self.rows
        ]
        head = ("Knative revision", "role", "traffic", "ready", "pods", "models")
        return "\n".join([*lines, "", table(head, rows)])


def read_status(cluster: Cluster, name: str, record: Record, cards: Cards) -> Status:
    service = InferenceService(cluster.get(INFERENCE_SERVICE, name))
    route = read_route(cluster, name)
    split = shares(route.targets)
    operation = find_operation(cluster, service, record, cards)
    candidate = operation.candidate if operation else ""
    names = sorted({*split, service.rolled_out, service.latest_created, candidate} - {""})
    rows = [
        row
        for name in names
        if (row := _row(cluster, service, operation, name, split.get(name, 0))) is not None
    ]
    return Status(
        service=service.name,
        namespace=cluster.namespace,
        url=service.url,
        models=service.models,
        stable=service.rolled_out,
        latest=service.latest_created,
        asked=service.percent,
        settled=operation is None and _settled(service, route),
        changed_elsewhere=_changed_elsewhere(record, service),
        operation=None if operation is None else _operation(operation, record),
        storage_uri=service.storage_uri,
        rows=rows,
    )


def _row(
    cluster: Cluster,
    service: InferenceService,
    operation: Operation | None,
    name: str,
    percent: int,
) -> Row | None:
    try:
        revision = read_revision(cluster, name)
    except ObjectNotFoundError:
        return None
    pods = pods_of(cluster, name)
    if name == service.rolled_out:
        role = "stable"
    elif operation is not None and operation.target is None and name == operation.candidate:
        role = "canary"
    elif name == service.latest_created:
        role = "latest"
    else:
        role = "old"
    return Row(
        name,
        role,
        percent,
        revision.condition.ready is True,
        revision.condition.reason,
        sum(is_ready(pod) for pod in pods),
        len(pods),
        revision.models,
    )


def _settled(service: InferenceService, route: Route) -> bool:
    return (
        service.percent is None
        and service.latest_created == service.latest_ready == service.rolled_out
        and route.ready
        and shares(route.targets) == {service.rolled_out: 100}
    )


def _changed_elsewhere(record: Record, service: InferenceService) -> bool:
    if record.operation is not None:
        return service.generation != record.operation.generation
    current = record.current
    return current is not None and current.spec != spec_key(service.predictor)


def _operation(operation: Operation, record: Record) -> dict[str, Any]:
    asked = "" if operation.percent is None else f", {operation.percent} %"
    return {
        "step": operation.step.value,
        "model": operation.model,
        "revision": operation.revision,
        "was": operation.was,
        "digest": operation.digest,
        "percent": operation.percent,
        "candidate": operation.candidate,
        "stable": operation.stable,
        "models": held_models(operation.after),
        "by": operation.by,
        "since": operation.since,
        "why": operation.why,
        "progress": operation.progress,
        "recorded": record.operation is not None,
        "text": f"{operation.title}: {operation.step.value}{asked}; "
        f"by {operation.by} since {operation.since}",
    }
