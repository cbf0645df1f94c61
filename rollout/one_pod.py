"""One revision in one pod, by the ServingRuntime ``vision``: its canary is KServe's own.

Transformer and predictor are one component there, so nothing of the cluster's own can be asked
about the predictor alone: no pod's tensors, no counters by the gateway's split, no gate between
the two. This program shows where such a canary stands, and says what to do by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from rollout.analysis import Plan
from rollout.errors import RefusedError
from rollout.inferenceservice import PERCENT, InferenceService

LAST_PART = re.compile(r"[^/:]+(?=/*$)")
"""Of an address: the folder of a revision, or an image's tag."""


def revision_at(uri: str) -> str:
    """The revision that an address names, as its last part."""
    found = LAST_PART.search(uri)
    return found.group() if found else uri


def require_own_containers(service: InferenceService, options: argparse.Namespace) -> None:
    """See that a service is one whose spec this program changes.

    Args:
        options: of ``canary``, ``rollout``, ``promote`` or ``rollback``.

    Raises:
        RefusedError: it is one pod of a runtime; the message has the command that does it.
    """
    uri = service.storage_uri
    if not uri:
        return
    steps: list[dict[str, Any]]
    if options.command == "promote":
        what = "give the canary everything"
        steps = [{PERCENT: None}]
    elif options.command == "rollback":
        what = "go back to URI, where the revision before lies (the second when that is ready)"
        steps = [{PERCENT: 0, "model": {"storageUri": "URI"}}, {PERCENT: None}]
    else:
        what = f"open a canary of revision {options.revision}, where it lies"
        there = LAST_PART.sub(lambda _: options.revision, uri)
        percent = getattr(options, "traffic", Plan.steps[0])
        steps = [{PERCENT: percent, "model": {"storageUri": there}}]
    lines = "\n".join(f"  {_patch(service.name, options.namespace, step)}" for step in steps)
    raise RefusedError(
        f"InferenceService {service.name} is one pod, with the revision at {uri}: KServe splits "
        f"its requests itself. To {what}:\n{lines}\n`status` shows the split; docs/runtime.md"
    )


def _patch(name: str, namespace: str, predictor: dict[str, Any]) -> str:
    document = json.dumps({"spec": {"predictor": predictor}})
    return f"kubectl -n {namespace} patch inferenceservice {name} --type merge -p '{document}'"
