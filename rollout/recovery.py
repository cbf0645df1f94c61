"""A change that is under way on the cluster and not in the record: what it is, and what was before.

The record may be lost (its ConfigMap deleted), or a canary opened without this program. All that
a way on from there needs is on the cluster: the spec, the split, and the Knative revisions that
the two halves of the traffic go to.
"""

from __future__ import annotations

import copy
from typing import Any

from common.kubernetes import Cluster, ObjectNotFoundError
from rollout.cards import Cards
from rollout.errors import NotFoundError
from rollout.inferenceservice import (
    InferenceService,
    Predictor,
    held_models,
    predictor_container,
    storage_uri,
)
from rollout.knative import COMPARABLE, KnativeRevision, read_revision
from rollout.record import Operation, Record, Step

UNKNOWN = "unknown"
WHY = "found on the cluster; not in the record"
RENAMED = {"timeoutSeconds": "timeout"}
"""Fields of a Knative revision's spec that KServe has another name for."""


def find_operation(
    cluster: Cluster, service: InferenceService, record: Record, cards: Cards
) -> Operation | None:
    """What is under way: by the record, else a canary by the cluster; None: nothing is."""
    if record.operation is not None:
        return record.operation
    # Without a share a newer spec is a deployment, which KServe itself gives everything; and so is
    # the first one, whatever share it names. Of what holds no model of ours nothing is known.
    if service.percent is None or not service.rolled_out or not service.models:
        return None
    return rebuild(cluster, service, record, cards)


def rebuild(
    cluster: Cluster, service: InferenceService, record: Record, cards: Cards
) -> Operation | None:
    """The change that takes the predictor from what is rolled out to what its spec says.

    Returns:
        None where the spec is what is rolled out, and there is no split either.

    Raises:
        NotFoundError: nothing was ever rolled out, or its Knative revision is gone.
    """
    latest, stable = service.latest_created, service.rolled_out
    if not stable:
        raise NotFoundError(f"InferenceService {service.name} has never been ready")
    made = _read(cluster, latest)
    # Knative may not have looked at the spec yet, or refuse it: then nothing was made of it.
    candidate = latest if made.carries(service.predictor) else ""
    if candidate == stable and service.percent is None:
        return None
    before = _before(service, record, _read(cluster, stable), made if candidate else None)
    model, revision = _difference(before, service.predictor)
    if service.percent is None:
        step = Step.SETTLING
    elif candidate and service.latest_ready == latest:
        step = Step.OPEN
    else:
        step = Step.STAGING
    return Operation(
        step=step,
        model=model,
        revision=revision,
        was=held_models(before).get(model, ""),
        digest=cards.expected(model, revision).digest if model else "",
        percent=service.percent,
        before=before,
        after=service.predictor,
        stable=stable,
        candidate=candidate,
        created_before=latest,
        generation=service.generation,
        by=UNKNOWN,
        since=made.created,
        why=WHY,
    )


def running_models(cluster: Cluster, service: InferenceService) -> dict[str, str]:
    """What is rolled out, which is not what the spec says while something newer starts."""
    if not service.rolled_out:
        return service.models
    try:
        return read_revision(cluster, service.rolled_out).models or service.models
    except ObjectNotFoundError:
        return service.models


def _read(cluster: Cluster, revision: str) -> KnativeRevision:
    try:
        return read_revision(cluster, revision)
    except ObjectNotFoundError:
        raise NotFoundError(
            f"Knative revision {revision} not found: what ran before cannot be told; deploy "
            "anew, `make deploy FORCE=1`"
        ) from None


def _before(
    service: InferenceService,
    record: Record,
    stable: KnativeRevision,
    latest: KnativeRevision | None,
) -> Predictor:
    """The spec that the stable Knative revision was made of.

    By the record where that has it. Else today's, with the difference between the two Knative
    revisions undone: both carry the same defaults of KServe and Knative, so only what was changed
    differs. What Knative keeps elsewhere (scale bounds) stays as it is now.

    Args:
        latest: made of today's spec; None where nothing was: then what is comparable all the same
            is put back, the command line, the image and the variables that the spec has.
    """
    current = record.current
    known = current is not None and current.spec in record.specs
    if current is not None and known and current.knative_revision == stable.name:
        return record.predictor_of(current)
    before = service.predictor
    if storage_uri(before):
        before["model"]["storageUri"] = stable.storage_uri
        return before
    container = predictor_container(before)
    old = predictor_container(stable.spec)
    if latest is None:
        for key in COMPARABLE:
            _put(container, key, old.get(key))
        values = {item["name"]: item for item in old.get("env") or []}
        if container.get("env"):
            container["env"] = [values.get(item["name"], item) for item in container["env"]]
        return before
    new = predictor_container(latest.spec)
    for key in sorted({*old, *new} - {"name", "env"}):
        if old.get(key) != new.get(key):
            _put(container, key, old.get(key))
    _undo_environment(container, old, new)
    for key in sorted({*stable.spec, *latest.spec} - {"containers", "initContainers"}):
        if stable.spec.get(key) != latest.spec.get(key):
            _put(before, RENAMED.get(key, key), stable.spec.get(key))
    return before


def _undo_environment(container: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    before = {item["name"]: item for item in old.get("env") or []}
    after = {item["name"]: item for item in new.get("env") or []}
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    if not changed:
        return
    kept = [item for item in container.get("env") or [] if item["name"] not in changed]
    kept += [copy.deepcopy(before[name]) for name in before if name in changed]
    _put(container, "env", kept or None)


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        document.pop(key, None)
    else:
        document[key] = copy.deepcopy(value)


def _difference(before: Predictor, after: Predictor) -> tuple[str, str]:
    """The first model that changes its revision, and the new one; empty: none does."""
    held = held_models(before)
    for model, revision in held_models(after).items():
        if held.get(model) != revision:
            return model, revision
    return "", ""
