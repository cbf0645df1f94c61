"""The Job that compares a new revision with the stable one before its first per cent."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from artifact import ModelCard
from common.kubernetes import (
    CONFIG_MAP,
    JOB,
    POD,
    Document,
    KubernetesError,
    ObjectNotFoundError,
)
from rollout.context import Context
from rollout.errors import NotFoundError, RefusedError
from rollout.gate import Comparison
from rollout.labelled import LabelledSet
from rollout.record import Operation
from rollout.transition import POLL_SECONDS

CONFIG_MAP_BYTES = 1 << 20
JOB_SECONDS = 600.0
MOUNT = "/gate"


def run_gate(ctx: Context, operation: Operation, questions: LabelledSet) -> Comparison:
    """Run the Job, wait for it, and clean up after it.

    Raises:
        RefusedError: the Job failed: one of the two did not answer.
        NotFoundError: there is no card to preprocess by, or no tag to reach the two at.
    """
    card = ctx.expected_of({operation.model: operation.revision})[0].card
    if card is None:
        raise NotFoundError(f"the gate needs the card of {operation.model}/{operation.revision}")
    service = ctx.transition.read()
    name = f"{ctx.service}-gate"
    hosts = tag_hosts(service.targets)
    job = gate_job(name, service.transformer_image, hosts["prev"], hosts["latest"])
    _remove(ctx, name)
    ctx.cluster.create(CONFIG_MAP, gate_config_map(name, card, questions))
    try:
        ctx.cluster.create(JOB, job)
        ctx.say(f"gate: {len(questions)} images to {hosts['prev']} and {hosts['latest']}")
        return Comparison.from_json(_await(ctx, name))
    finally:
        _remove(ctx, name)


def tag_hosts(targets: Any) -> dict[str, str]:
    """Host by tag.

    Raises:
        NotFoundError: ``latest`` or ``prev`` has none.
    """
    hosts = {t.tag: urlsplit(t.url).hostname or "" for t in targets if t.tag and t.url}
    for tag in ("latest", "prev"):
        if not hosts.get(tag):
            raise NotFoundError(f"the split has no tag {tag!r} with an address; is tag routing on?")
    return hosts


def gate_config_map(name: str, card: ModelCard, questions: LabelledSet) -> Document:
    """The labelled set and the card.

    Raises:
        RefusedError: it is more than a ConfigMap takes.
    """
    packed = base64.b64encode(questions.to_bytes()).decode()
    if len(packed) > CONFIG_MAP_BYTES - (64 << 10):
        raise RefusedError(
            f"the labelled set packs to {len(packed)} bytes and a ConfigMap takes "
            f"{CONFIG_MAP_BYTES}: use fewer images (--images)"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "vision-rollout"}},
        "binaryData": {"labelled.npz": packed},
        "data": {"model.json": card.to_json()},
    }


def gate_job(name: str, image: str, stable: str, canary: str) -> Document:
    """One attempt; fits the restricted pod security standard, and has no token."""
    container = {
        "name": "gate",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "rollout.gate"],
        "args": [
            f"--card={MOUNT}/model.json",
            f"--set={MOUNT}/labelled.npz",
            f"--stable={stable}",
            f"--canary={canary}",
        ],
        "volumeMounts": [{"name": "gate", "mountPath": MOUNT, "readOnly": True}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        # The network policies let pods of this label reach the gateway's inner listener.
        "metadata": {"labels": {"component": "gate"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "gate", "configMap": {"name": name}}],
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "vision-rollout"}},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(JOB_SECONDS),
            "ttlSecondsAfterFinished": 600,
            "template": pod,
        },
    }


def _await(ctx: Context, name: str) -> str:
    """The Job's termination message."""
    start = ctx.clock.monotonic()
    told = start
    while True:
        status = ctx.cluster.get(JOB, name).get("status") or {}
        ended = {c["type"] for c in status.get("conditions") or [] if c.get("status") == "True"}
        if "Complete" in ended or "Failed" in ended:
            message, log = _last_words(ctx, name)
            if "Complete" in ended and message:
                return message
            raise RefusedError(f"the gate's Job failed: {message or log or 'it left no message'}")
        now = ctx.clock.monotonic()
        if now - start > JOB_SECONDS:
            raise RefusedError(f"the gate's Job did not end within {JOB_SECONDS:.0f} s")
        if now - told > 10:
            told = now
            ctx.say(f"waiting for the gate ({now - start:.0f} s)")
        ctx.ledger.keep()
        ctx.clock.sleep(POLL_SECONDS)


def _last_words(ctx: Context, name: str) -> tuple[str, str]:
    """Termination message and last log lines of the Job's pod, as far as there are such."""
    for pod in ctx.cluster.find(POD, {"batch.kubernetes.io/job-name": name}):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            state = status.get("state") or {}
            message = (state.get("terminated") or {}).get("message", "")
            waiting = (state.get("waiting") or {}).get("reason", "")
            try:
                log = ctx.cluster.pod_log(pod["metadata"]["name"], status["name"], 10)
            except KubernetesError:
                log = ""
            return message.strip(), log.strip() or waiting
    return "", ""


def _remove(ctx: Context, name: str) -> None:
    """Delete what an earlier gate left, and wait until its name is free."""
    ctx.cluster.delete(JOB, name)
    ctx.cluster.delete(CONFIG_MAP, name)
    for _ in range(30):
        try:
            ctx.cluster.get(JOB, name)
        except ObjectNotFoundError:
            return
        ctx.clock.sleep(POLL_SECONDS)
