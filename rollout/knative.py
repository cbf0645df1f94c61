"""Knative's objects behind a predictor, as far as a rollout reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.kubernetes import CONFIGURATION, POD, REVISION, ROUTE, Cluster
from rollout.inferenceservice import (
    Predictor,
    Target,
    held_models,
    predictor_container,
    read_targets,
)

COMPARABLE = ("args", "image", "command")
"""Fields of a container that KServe and Knative leave as they are."""

STORAGE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""Annotation of a Knative revision, by which KServe fetches what a pod serves."""

REVISION_LABEL = "serving.knative.dev/revision"


def predictor_service(name: str) -> str:
    """KServe's name for the Knative Service (and Configuration, and Route) of a predictor."""
    return f"{name}-predictor"


@dataclass(frozen=True)
class Condition:
    """A condition of a status: ``ready`` is None while it is unknown."""

    ready: bool | None
    reason: str
    message: str


def ready_condition(document: dict[str, Any]) -> Condition:
    """The ``Ready`` condition, unknown where the controller has not yet seen the last change."""
    status = document.get("status") or {}
    if status.get("observedGeneration") != document["metadata"].get("generation"):
        return Condition(None, "", "")
    for item in status.get("conditions") or []:
        if item.get("type") == "Ready":
            ready = {"True": True, "False": False}.get(item.get("status", ""))
            return Condition(ready, item.get("reason", ""), item.get("message", ""))
    return Condition(None, "", "")


@dataclass(frozen=True)
class KnativeRevision:
    """A Knative revision.

    Attributes:
        spec: the pod's, as Knative completed it.
        storage_uri: what KServe puts under ``/mnt/models``; empty without such.
    """

    name: str
    condition: Condition
    models: dict[str, str]
    created: str
    spec: dict[str, Any]
    storage_uri: str


def read_revision(cluster: Cluster, name: str) -> KnativeRevision:
    document = cluster.get(REVISION, name)
    return KnativeRevision(
        name,
        ready_condition(document),
        held_models(document["spec"]),
        document["metadata"].get("creationTimestamp", ""),
        document["spec"],
        (document["metadata"].get("annotations") or {}).get(STORAGE_URI, ""),
    )


@dataclass(frozen=True)
class Configuration:
    """Where Knative stands with a predictor's template.

    Attributes:
        current: its controller has seen the last change.
        latest_created: the Knative revision of that template, once it is current.
    """

    current: bool
    latest_created: str
    container: dict[str, Any]

    def carries(self, predictor: Predictor) -> bool:
        """Whether the template is that predictor's: its arguments, image and environment."""
        return carries({"containers": [self.container]}, predictor)


def carries(spec: dict[str, Any], predictor: Predictor) -> bool:
    """Whether a pod's spec is a predictor's, whatever else KServe and Knative put into it."""
    has, wanted = predictor_container(spec), predictor_container(predictor)
    same = all((has.get(key) or None) == (wanted.get(key) or None) for key in COMPARABLE)
    return same and _variables(wanted) <= _variables(has)


def _variables(container: dict[str, Any]) -> set[tuple[str, str]]:
    return {(item["name"], item.get("value", "")) for item in container.get("env") or []}


def read_configuration(cluster: Cluster, service: str) -> Configuration:
    document = cluster.get(CONFIGURATION, predictor_service(service))
    status = document.get("status") or {}
    return Configuration(
        status.get("observedGeneration") == document["metadata"].get("generation"),
        status.get("latestCreatedRevisionName", ""),
        predictor_container(document["spec"]["template"]["spec"]),
    )


@dataclass(frozen=True)
class Route:
    """The split as it is, not as it was asked for; ``ready`` when the gateway has it too."""

    ready: bool
    targets: tuple[Target, ...]


def read_route(cluster: Cluster, service: str) -> Route:
    document = cluster.get(ROUTE, predictor_service(service))
    status = document.get("status") or {}
    return Route(ready_condition(document).ready is True, read_targets(status.get("traffic")))


def pods_of(cluster: Cluster, revision: str) -> list[dict[str, Any]]:
    """The pods of one Knative revision, those that are going included."""
    return cluster.find(POD, {REVISION_LABEL: revision})


def is_ready(pod: dict[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
