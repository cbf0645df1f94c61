"""Waiting for everything that was applied, with a word on what is in the way."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from cluster.commands import ClusterError
from cluster.platform import step
from common.kubernetes import (
    DAEMON_SET,
    DEPLOYMENT,
    INFERENCE_SERVICE,
    JOB,
    POD,
    STATEFUL_SET,
    Cluster,
    Kind,
    ObjectNotFoundError,
)
from common.pods import obstacle, unready_pod

KINDS: dict[str, Kind] = {
    "Deployment": DEPLOYMENT,
    "StatefulSet": STATEFUL_SET,
    "DaemonSet": DAEMON_SET,
    "Job": JOB,
    "InferenceService": INFERENCE_SERVICE,
}
"""What has pods. A CronJob's come by the clock, and are not waited for."""

SUMMARIES = ("PredictorReady", "TransformerReady", "IngressReady")
"""The conditions of an InferenceService that the others lead to."""

POLL_SECONDS = 2.0


def wait_ready(cluster: Cluster, applied: list[dict[str, Any]], timeout_seconds: float) -> None:
    """Until every workload among the applied documents is ready as its newest spec says.

    Not by ``kubectl wait``, which may never end on an InferenceService: KServe reports its Knative
    Services' generation as observed and not the InferenceService's own. So the conditions alone
    are read, after the controllers had a moment to see the change.

    Raises:
        ClusterError: not in time, or a Job failed; with what pods say.
    """
    deadline = time.monotonic() + timeout_seconds
    waited = {
        (document["kind"], document["metadata"]["name"]): document
        for document in applied
        if document.get("kind") in KINDS
    }
    said: dict[tuple[str, str], str] = {}
    while waited:
        time.sleep(POLL_SECONDS)
        for key, document in list(waited.items()):
            kind, name = key
            try:
                found = cluster.get(KINDS[kind], name, document["metadata"].get("namespace"))
            except ObjectNotFoundError:
                if kind != "Job":
                    raise
                del waited[key]  # complete, and cleaned up since
                continue
            missing = lacks(kind, found)
            if not missing:
                del waited[key]
                url = (found.get("status") or {}).get("url", "")
                step(f"{kind} {name} is ready" + (f": {url}" if url else ""))
                continue
            pods = pods_of(cluster, kind, found)
            if kind == "Job" and has_ended(found, ("Failed",)):
                raise ClusterError(f"Job {name} failed: {unready_pod(cluster, pods) or missing}")
            if time.monotonic() > deadline:
                reason = unready_pod(cluster, pods)
                raise ClusterError(
                    f"{kind} {name} is not ready after {timeout_seconds:.0f} s: {missing}"
                    + (f"\n{reason.pod}: {reason}" if reason else "")
                )
            line = "; ".join(filter(None, (missing, obstacle(cluster, pods))))
            if said.get(key) != line:
                said[key] = line
                print(f"    {kind} {name}: {line}", flush=True)


def lacks(kind: str, document: dict[str, Any]) -> str:
    """Why a workload is not ready yet; empty: it is."""
    status = document.get("status") or {}
    if kind == "InferenceService":
        return "; ".join(waiting_for(document))
    if kind == "Job":
        return "" if has_ended(document, ("Complete",)) else "not complete"
    if status.get("observedGeneration", 0) < document["metadata"].get("generation", 0):
        return "its controller has not looked at it yet"
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        ready = min(status.get("numberAvailable", 0), status.get("updatedNumberScheduled", 0))
    else:
        wanted = document["spec"].get("replicas", 1)
        ready = min(status.get(f, 0) for f in ("readyReplicas", "updatedReplicas"))
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"


def waiting_for(isvc: dict[str, Any]) -> list[str]:
    """Why an InferenceService is not ready yet; empty: it is.

    It is not while a component's newest Knative revision is not ready, whatever else answers.
    """
    status = isvc.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True" and status.get("url"):
        return sorted(
            f"{name}: {part.get('latestCreatedRevision')} is not ready"
            for name, part in status.get("components", {}).items()
            if part.get("latestCreatedRevision") != part.get("latestReadyRevision")
        )
    lines = [
        f"{kind}: {item.get('message') or item.get('reason') or item['status']}"
        for kind in SUMMARIES
        if (item := conditions.get(kind)) and item["status"] != "True"
    ]
    return lines or ["KServe has not looked at it yet"]


def pods_of(cluster: Cluster, kind: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    name = document["metadata"]["name"]
    if kind == "InferenceService":
        labels = {"serving.kserve.io/inferenceservice": name}
    elif kind == "Job":
        labels = {"batch.kubernetes.io/job-name": name}
    else:
        labels = document["spec"].get("selector", {}).get("matchLabels", {})
    try:
        return cluster.find(POD, labels, document["metadata"].get("namespace"))
    except ObjectNotFoundError:
        return []


def has_ended(job: dict[str, Any], ways: Collection[str] = ("Complete", "Failed")) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c["type"] in ways and c["status"] == "True" for c in conditions)
