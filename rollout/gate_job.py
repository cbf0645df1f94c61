"""The Job that compares a new revision with the stable one before its first per cent."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from artifact import ModelCard
from common.kubernetes import (
    CONFIG_MAP,
    JOB,
    POD,
    Cluster,
    Document,
    Kind,
    KubernetesError,
    ObjectNotFoundError,
)
from common.pods import obstacle
from rollout.errors import NotFoundError, RefusedError
from rollout.gate import PART, Comparison
from rollout.inferenceservice import InferenceService
from rollout.labelled import LabelledSet
from rollout.waiting import POLL_SECONDS, Waiting

PART_BYTES = 960 << 10
"""Of a labelled set in one ConfigMap, which takes 1 MiB, names and the cards included."""

MAX_PARTS = 48
"""Parts of a labelled set, 45 MiB: 300 photographs of 224 × 224 that do not pack at all. They lie
in the cluster's own store (etcd, 2 GiB unless told otherwise) only while the gate runs."""

JOB_SECONDS = 600.0
MOUNT = "/gate"
CARD, STABLE_CARD = "card.json", "stable-card.json"
JOB_LABEL = "batch.kubernetes.io/job-name"


def run_gate(
    cluster: Cluster,
    waiting: Waiting,
    service: InferenceService,
    card: ModelCard,
    stable_card: ModelCard | None,
    questions: LabelledSet,
) -> Comparison:
    """Run the Job, wait for it, and clean up after it.

    Args:
        card: of the new revision, which is asked after its contract.
        stable_card: likewise of the stable one; None where its contract is the same.

    Raises:
        RefusedError: the Job failed: one of the two did not answer.
        NotFoundError: there is no tag to reach the two at.
    """
    name = f"{service.name}-gate"
    hosts = tag_hosts(service.targets)
    cards = {CARD: card} if stable_card is None else {CARD: card, STABLE_CARD: stable_card}
    maps = config_maps(name, cards, questions)
    job = gate_job(
        name, list(cards), len(maps), service.transformer_image, hosts["prev"], hosts["latest"]
    )
    _remove(cluster, waiting, name)
    try:
        for config_map in maps:
            cluster.create(CONFIG_MAP, config_map)
        cluster.create(JOB, job)
        waiting.say(f"gate: {len(questions)} images to {hosts['prev']} and {hosts['latest']}")
        return Comparison.from_json(_await(cluster, waiting, name))
    finally:
        _remove(cluster, waiting, name)


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


def config_maps(
    name: str, cards: Mapping[str, ModelCard], questions: LabelledSet
) -> list[Document]:
    """Cards by file and, in parts, the labelled set: what any cluster can hold without a volume.

    Raises:
        RefusedError: the set is larger than ``MAX_PARTS`` take.
    """
    data = questions.to_bytes()
    parts = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
    if len(parts) > MAX_PARTS:
        raise RefusedError(
            f"the labelled set packs to {len(data):,} bytes; the gate takes "
            f"{MAX_PARTS * PART_BYTES:,}: use fewer images (--images)"
        )
    return [
        _config_map(map_name(name, i), {f"{PART}{i:03}": part}, {} if i else cards)
        for i, part in enumerate(parts)
    ]


def map_name(name: str, number: int) -> str:
    """Of the ConfigMap with the part of this number."""
    return f"{name}-{number}"


def _config_map(name: str, files: dict[str, bytes], cards: Mapping[str, ModelCard]) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "vision-rollout"}},
        # Nodes need not watch what never changes.
        "immutable": True,
        "binaryData": {file: base64.b64encode(content).decode() for file, content in files.items()},
        "data": {file: card.to_json() for file, card in cards.items()},
    }


def gate_job(
    name: str, cards: Sequence[str], maps: int, image: str, stable: str, canary: str
) -> Document:
    """One attempt; fits the restricted pod security standard, and has no token.

    Args:
        cards: files of them: ``CARD``, and ``STABLE_CARD`` where there is one.
        maps: number of ConfigMaps that its files are in.
    """
    container = {
        "name": "gate",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "rollout.gate"],
        "args": [
            *(f"--{file.removesuffix('.json')}={MOUNT}/{file}" for file in cards),
            f"--set={MOUNT}",
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
    sources = [{"configMap": {"name": map_name(name, number)}} for number in range(maps)]
    pod = {
        # The network policies let pods of this label reach the gateway's inner listener.
        "metadata": {"labels": {"component": "gate"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "gate", "projected": {"sources": sources}}],
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


def _await(cluster: Cluster, waiting: Waiting, name: str) -> str:
    """The Job's termination message."""

    def ended() -> str | None:
        status = cluster.get(JOB, name).get("status") or {}
        kinds = {c["type"] for c in status.get("conditions") or [] if c.get("status") == "True"}
        if not kinds & {"Complete", "Failed"}:
            return None
        message, log = _last_words(cluster, name)
        if "Complete" in kinds and message:
            return message
        raise RefusedError(f"the gate's Job failed: {message or log or 'it left no message'}")

    return waiting.until(
        ended,
        JOB_SECONDS,
        "the gate",
        lambda: RefusedError(f"the gate's Job did not end within {JOB_SECONDS:.0f} s"),
        lambda: obstacle(cluster, cluster.find(POD, {JOB_LABEL: name})),
    )


def _last_words(cluster: Cluster, name: str) -> tuple[str, str]:
    """Termination message and last log lines of the Job's pod, as far as there are such."""
    for pod in cluster.find(POD, {JOB_LABEL: name}):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            state = status.get("state") or {}
            message = (state.get("terminated") or {}).get("message", "")
            waiting = (state.get("waiting") or {}).get("reason", "")
            try:
                log = cluster.pod_log(pod["metadata"]["name"], status["name"], 10)
            except KubernetesError:
                log = ""
            return message.strip(), log.strip() or waiting
    return "", ""


def _remove(cluster: Cluster, waiting: Waiting, name: str) -> None:
    """Delete what an earlier gate left, and wait until its name is free."""
    cluster.delete(JOB, name)
    # Made from the first to the last and deleted from the last to the first: wherever that was
    # interrupted, what is left has no gaps, and its end is found by looking.
    left = 0
    while _exists(cluster, CONFIG_MAP, map_name(name, left)):
        left += 1
    for number in reversed(range(left)):
        cluster.delete(CONFIG_MAP, map_name(name, number))
    for _ in range(30):
        if not _exists(cluster, JOB, name):
            return
        waiting.clock.sleep(POLL_SECONDS)


def _exists(cluster: Cluster, kind: Kind, name: str) -> bool:
    try:
        cluster.get(kind, name)
    except ObjectNotFoundError:
        return False
    return True
