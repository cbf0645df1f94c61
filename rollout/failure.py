"""Why a Knative revision does not start: its pods' own reasons and last words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from common.kubernetes import Cluster, KubernetesError
from rollout.knative import KnativeRevision, pods_of

LOG_LINES = 15

HOPELESS = {
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "ErrImageNeverPull": "its image is not on the node and may not be pulled",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be run",
    "CrashLoopBackOff": "it starts and ends, again and again",
}
"""Reasons of a waiting container that do not go away by waiting for them."""

CRASHES = 2
"""Restarts after which a start counts as failed; one may be an accident."""

PASSING = ("Unschedulable", "Deploying", "ResolvingDigests")
"""Reasons of an unready Knative revision that can pass: a node may still get room."""


@dataclass(frozen=True)
class Failure:
    """A start that will not succeed, for people.

    Attributes:
        reason: Kubernetes' or Knative's word.
        message: what it means here, with the cause where a log line names one.
        log: the failing container's last lines.
    """

    reason: str
    message: str
    pod: str = ""
    container: str = ""
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.reason}: {self.message}" if self.message else self.reason
        if not self.log:
            return text
        lines = "\n".join(f"  | {line}" for line in self.log)
        return f"{text}\n  last lines of {self.container} in {self.pod}:\n{lines}"


def hopeless_pod(cluster: Cluster, revision: str) -> Failure | None:
    """The failure of a pod that waiting will not mend, if one has such a failure."""
    for pod in pods_of(cluster, revision):
        for status in _statuses(pod):
            waiting = (status.get("state") or {}).get("waiting") or {}
            reason = waiting.get("reason", "")
            if reason in HOPELESS:
                return _of_container(cluster, pod, status, reason, HOPELESS[reason], waiting)
            ended = _ended(status)
            crashed = ended and ended.get("exitCode") != 0
            if crashed and int(status.get("restartCount") or 0) >= CRASHES:
                return _of_container(
                    cluster, pod, status, _exit(ended), HOPELESS["CrashLoopBackOff"], ended
                )
    return None


def explain(cluster: Cluster, revision: KnativeRevision | None, fallback: str) -> Failure:
    """The best account of why a Knative revision is not ready, after having waited for it."""
    if revision is None:
        return Failure("NotCreated", fallback)
    found = hopeless_pod(cluster, revision.name)
    if found is not None:
        return found
    for pod in pods_of(cluster, revision.name):
        for condition in (pod.get("status") or {}).get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return Failure(
                    condition.get("reason", "Unschedulable"),
                    condition.get("message", ""),
                    pod["metadata"]["name"],
                )
        for status in _statuses(pod):
            ended = _ended(status)
            if ended and ended.get("exitCode") != 0:
                return _of_container(cluster, pod, status, _exit(ended), fallback, ended)
            if status.get("name") != "queue-proxy" and not status.get("ready"):
                return _of_container(cluster, pod, status, "NotReady", fallback, {})
    reason = revision.condition.reason or "NotReady"
    return Failure(reason, revision.condition.message or fallback)


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]


def _ended(status: dict[str, Any]) -> dict[str, Any]:
    """How the container last ended; empty if it never did."""
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        if state.get("terminated"):
            ended: dict[str, Any] = state["terminated"]
            return ended
    return {}


def _exit(ended: dict[str, Any]) -> str:
    reason = ended.get("reason") or "Error"
    return f"{reason} (exit status {ended.get('exitCode')})"


def _of_container(
    cluster: Cluster,
    pod: dict[str, Any],
    status: dict[str, Any],
    reason: str,
    message: str,
    detail: dict[str, Any],
) -> Failure:
    name, container = pod["metadata"]["name"], status["name"]
    log = _last_lines(cluster, name, container, bool(status.get("restartCount")))
    # Of a container that ran, its own words; kubelet's are about the pause before the next try.
    cause = _last_message(log) if log else detail.get("message", "")
    return Failure(reason, f"{message}: {cause}" if cause else message, name, container, log)


def _last_lines(cluster: Cluster, pod: str, container: str, restarted: bool) -> list[str]:
    """Of the run before this one where there was one; a pod that never ran has none."""
    for previous in (True, False) if restarted else (False,):
        try:
            lines = cluster.pod_log(pod, container, LOG_LINES, previous).splitlines()
        except KubernetesError:
            continue
        if lines:
            return lines
    return []


def _last_message(log: list[str]) -> str:
    """The message of the last log line: our servers write JSON, tracebacks end in the error."""
    try:
        return str(json.loads(log[-1])["message"])
    except (ValueError, KeyError, TypeError):
        return log[-1]
