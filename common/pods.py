"""Why pods do not start: their own reasons, the events about them, their last words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from common.kubernetes import Cluster, KubernetesError

LOG_LINES = 15

HOPELESS = {
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "ErrImageNeverPull": "its image is not on the node and may not be pulled",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be created",
    "RunContainerError": "its container cannot be run",
    "CrashLoopBackOff": "it starts and ends, again and again",
}
"""Reasons of a waiting container that do not go away by waiting for them."""

STARTING = ("ContainerCreating", "PodInitializing")
"""Reasons of a waiting container that say nothing."""

CRASHES = 2
"""Restarts after which a start counts as failed; one may be an accident."""


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


def hopeless_pod(cluster: Cluster, pods: list[dict[str, Any]]) -> Failure | None:
    """The failure of a pod that waiting will not mend, if one has such a failure."""
    for pod, status in _statuses(pods):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in HOPELESS:
            return _of_container(cluster, pod, status, reason, HOPELESS[reason], waiting)
        ended = _ended(status)
        crashed = ended and ended.get("exitCode") != 0
        if crashed and int(status.get("restartCount") or 0) >= CRASHES:
            text = HOPELESS["CrashLoopBackOff"]
            return _of_container(cluster, pod, status, _exit(ended), text, ended)
    return None


def unready_pod(cluster: Cluster, pods: list[dict[str, Any]], fallback: str = "") -> Failure | None:
    """The best account of a pod that is not ready; None where all are, or there is none."""
    found = hopeless_pod(cluster, pods)
    if found is not None:
        return found
    for pod in pods:
        condition = _unscheduled(pod)
        if condition:
            reason = condition.get("reason") or "Unschedulable"
            return Failure(reason, condition.get("message", ""), pod["metadata"]["name"])
    for pod, status in _statuses(pods):
        ended = _ended(status)
        if ended and ended.get("exitCode") != 0:
            return _of_container(cluster, pod, status, _exit(ended), fallback, ended)
        if status.get("name") != "queue-proxy" and not status.get("ready"):
            return _of_container(cluster, pod, status, "NotReady", fallback, {})
    return None


def obstacle(cluster: Cluster, pods: list[dict[str, Any]]) -> str:
    """What keeps a pod from starting at this moment, in one line; empty: nothing is known.

    It may pass (a node gets room, a registry answers): it is for the line that says what is
    waited for, with the event that tells more than the pod's own word.
    """
    for pod in pods:
        condition = _unscheduled(pod)
        if condition:
            reason = condition.get("reason") or "Unschedulable"
            return _line(cluster, pod, reason, condition.get("message", ""))
    for pod, status in _statuses(pods):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason and reason not in STARTING:
            # What a container said as it ended tells more than that it is started again.
            name = pod["metadata"]["name"]
            log = _last_lines(cluster, name, status["name"], True) if _ended(status) else []
            if log:
                return f"{name}: {reason}: {_last_message(log)}"
            return _line(cluster, pod, reason, waiting.get("message", ""))
    return ""


def _line(cluster: Cluster, pod: dict[str, Any], reason: str, message: str) -> str:
    name = pod["metadata"]["name"]
    text = f"{name}: {reason}: {message}" if message else f"{name}: {reason}"
    event = last_warning(cluster, name)
    return text if not event or event.partition(": ")[2] in text else f"{text} ({event})"


def last_warning(cluster: Cluster, name: str) -> str:
    """The newest warning about an object, ``Reason: message``; empty without one."""
    try:
        events = cluster.events(name)
    except KubernetesError:
        return ""  # what it would have told is missed, and nothing else
    warnings = [event for event in events if event.get("type") == "Warning"]
    warnings.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    if not warnings:
        return ""
    return f"{warnings[-1].get('reason')}: {warnings[-1].get('message')}"


def _unscheduled(pod: dict[str, Any]) -> dict[str, Any]:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found: dict[str, Any] = condition
            return found
    return {}


def _statuses(pods: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each container of each pod, init containers first."""
    for pod in pods:
        status = pod.get("status") or {}
        for key in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(key) or []:
                yield pod, container


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
    # Of a container that ran, its own words; the kubelet's are about the pause before a new try.
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
