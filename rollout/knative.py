"""Knative's objects behind a predictor, as far as a rollout reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.kubernetes import CONFIGURATION, POD, REVISION, ROUTE, Cluster
from rollout.inferenceservice import (
    Predictor,
    Target,
    held_models,
    models_at,
    predictor_container,
    read_targets,
    storage_uri,
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
    created: str
    spec: dict[str, Any]
    storage_uri: str

    @property
    def models(self) -> dict[str, str]:
        """Revision by model, as its command line says, else as its address does."""
        return held_models(self.spec) or models_at(self.storage_uri)

    def carries(self, predictor: Predictor) -> bool:
        """Whether it was made of that predictor, whatever KServe and Knative put into it."""
        return _carries(self.spec, self.storage_uri, predictor)


def read_revision(cluster: Cluster, name: str) -> KnativeRevision:
    document = cluster.get(REVISION, name)
    return KnativeRevision(
        name,
        ready_condition(document),
        document["metadata"].get("creationTimestamp", ""),
        document["spec"],
        _storage_uri(document),
    )


def _storage_uri(document: dict[str, Any]) -> str:
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(STORAGE_URI, ""))


@dataclass(frozen=True)
class Configuration:
    """Where Knative stands with a predictor's template.

    Attributes:
        current: its controller has seen the last change.
        latest_created: the Knative revision of that template, once it is current.
    """

    current: bool
    latest_created: str
    spec: dict[str, Any]
    storage_uri: str

    def carries(self, predictor: Predictor) -> bool:
        """Whether the template is that predictor's: its arguments, image and environment."""
        return _carries(self.spec, self.storage_uri, predictor)


def _carries(spec: dict[str, Any], uri: str, predictor: Predictor) -> bool:
    has = predictor_container(spec)
    if wanted_uri := storage_uri(predictor):
        # The runtime's containers, with what the predictor adds to their environment.
        return uri == wanted_uri and _variables(predictor["model"]) <= _variables(has)
    wanted = predictor_container(predictor)
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
        document["spec"]["template"]["spec"],
        _storage_uri(document["spec"]["template"]),
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
