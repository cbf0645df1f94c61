"""What a namespace alone knows: objects that a person or a rollout made, and no controller.

Knative's Services, Revisions and Routes belong to an InferenceService, which makes them anew, with
other numbers: they are not backed up, and the names of them in a rollout's record are forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from common.kubernetes import (
    CONFIG_MAP,
    INFERENCE_SERVICE,
    Cluster,
    Document,
    Kind,
    ObjectConflictError,
    ObjectNotFoundError,
)
from disaster.errors import NotEmptyError
from disaster.vault import Vault
from rollout.inferenceservice import PERCENT
from rollout.record import Record

SERVERLESS = "/apis/serving.knative.dev/v1beta1"
KINDS: dict[str, Kind] = {
    "Secret": Kind("/api/v1", "secrets"),
    "ConfigMap": CONFIG_MAP,
    "ServiceAccount": Kind("/api/v1", "serviceaccounts"),
    "ServingRuntime": Kind("/apis/serving.kserve.io/v1alpha1", "servingruntimes"),
    "ClusterDomainClaim": Kind(
        "/apis/networking.internal.knative.dev/v1alpha1", "clusterdomainclaims", namespaced=False
    ),
    "InferenceService": INFERENCE_SERVICE,
    "DomainMapping": Kind(SERVERLESS, "domainmappings"),
}
"""In the order they are made again: what others refer to first."""
OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
MADE_BY_KUBERNETES = (
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ServiceAccount", "default"),
)
TOKEN = "kubernetes.io/service-account-token"  # noqa: S105
RECORD = {"app.kubernetes.io/managed-by": "vision-rollout"}

Part = dict[str, Any]


def back_up(cluster: Cluster, vault: Vault) -> Part:
    """Copy the top-level objects of a namespace, sealed: Secrets are among them.

    Raises:
        SealError: there is no key.
    """
    vault.require_seal(f"namespace {cluster.namespace}")
    objects = [found for kind in KINDS for found in _found(cluster, kind)]
    counts = {kind: sum(o["kind"] == kind for o in objects) for kind in KINDS}
    return {
        "namespace": cluster.namespace,
        "counts": counts,
        "objects": vault.put(json.dumps(objects, sort_keys=True).encode(), secret=True),
    }


def _found(cluster: Cluster, kind: str) -> Iterator[Document]:
    try:
        documents = cluster.find(KINDS[kind])
    except ObjectNotFoundError:
        return  # what defines the kind is not installed
    for document in documents:
        metadata = document["metadata"]
        claimed = (document.get("spec") or {}).get("namespace", cluster.namespace)
        if (
            metadata.get("ownerReferences")
            or (kind, metadata["name"]) in MADE_BY_KUBERNETES
            or document.get("type") == TOKEN
            or claimed != cluster.namespace
        ):
            continue
        kept = {k: v for k, v in metadata.items() if k not in OF_THE_SERVER}
        told = {k: v for k, v in document.items() if k not in ("status", "metadata")}
        prefix = KINDS[kind].prefix.removeprefix("/apis/").removeprefix("/api/")
        yield {**told, "apiVersion": prefix, "kind": kind, "metadata": kept}


def restore(part: Part, vault: Vault, cluster: Cluster, at: str) -> list[str]:
    """Make the objects again; what is there already and is the same is left.

    Args:
        at: when the backup was made, as a rollout's history writes times.

    Returns:
        What a person has to know, a sentence each.

    Raises:
        NotEmptyError: an object of that name is another one; nothing after it was made.
    """
    objects: list[Document] = json.loads(vault.get(part["objects"]))
    records = {
        o["metadata"]["name"]: Record.from_data(o.get("data") or {})
        for o in objects
        if _is_record(o)
    }
    notes = []
    for document in objects:
        name = document["metadata"]["name"]
        if document["kind"] == "InferenceService":
            document, note = _without_canary(document, records.get(f"{name}-rollout"))
            notes += [note] if note else []
        elif document["kind"] == "ConfigMap" and name in records:
            record = records[name].anew("", at)
            document = {**document, "data": record.to_data()}
        _make(cluster, document)
    return notes


def _is_record(document: Document) -> bool:
    labels = document["metadata"].get("labels") or {}
    return document["kind"] == "ConfigMap" and RECORD.items() <= labels.items()


def _without_canary(document: Document, record: Record | None) -> tuple[Document, str]:
    """An InferenceService with what was stable alone: the first of its Knative revisions gets all
    traffic, whatever share its spec names.
    """
    name, predictor = document["metadata"]["name"], document["spec"]["predictor"]
    operation = None if record is None else record.operation
    if operation is not None:
        spec = {**document["spec"], "predictor": operation.before}
        note = f"{name}: {operation.title} has ended; what ran before it runs"
        return {**document, "spec": spec}, note
    if PERCENT not in predictor:
        return document, ""
    percent = predictor[PERCENT]
    kept = {key: value for key, value in predictor.items() if key != PERCENT}
    return {**document, "spec": {**document["spec"], "predictor": kept}}, (
        f"{name}: a canary of {percent} % was open that no record tells of; it has all traffic"
    )


def _make(cluster: Cluster, document: Document) -> None:
    kind, name = document["kind"], document["metadata"]["name"]
    metadata = {k: v for k, v in document["metadata"].items() if k != "namespace"}
    if KINDS[kind].namespaced:
        metadata["namespace"] = cluster.namespace
    elif (document.get("spec") or {}).get("namespace"):
        document = {**document, "spec": {**document["spec"], "namespace": cluster.namespace}}
    try:
        cluster.create(KINDS[kind], {**document, "metadata": metadata})
    except ObjectConflictError:
        there = cluster.get(KINDS[kind], name)
        told = {k: v for k, v in document.items() if k not in ("metadata", "apiVersion", "kind")}
        if any(there.get(key) != value for key, value in told.items()):
            raise NotEmptyError(
                f"{kind} {name} is there already and is another one: objects are restored into a "
                "namespace without them"
            ) from None
