"""Kubernetes objects of a revision: served by the ServingRuntime, and kept on nodes."""

from __future__ import annotations

import json
import math
from typing import Any

from registry.errors import RefusedError
from registry.revisions import Registry

RUNTIME_FORMAT = "vision"
"""``modelFormat`` of the ServingRuntime in ``manifests/runtime``."""

Document = dict[str, Any]


def objects(
    registry: Registry, model: str, revision: str, nodes: str = "", account: str = ""
) -> list[Document]:
    """An InferenceService that serves the revision, behind its LocalModelCache where one is wanted.

    Args:
        nodes: name of the LocalModelNodeGroup that is to hold it; empty: no cache.
        account: ServiceAccount with the bucket's secret.

    Raises:
        NotFoundError: it is not in the registry.
        RefusedError: the registry is a folder, which no pod reaches.
    """
    size = registry.size(model, revision)
    url = registry.url_of(model, revision)
    if not url.startswith("s3://"):
        raise RefusedError(
            f"{url} is a folder of this machine, which no pod reaches: publish into a bucket, "
            "VISION_REGISTRY=s3://…"
        )
    predictor: Document = {"model": {"modelFormat": {"name": RUNTIME_FORMAT}, "storageUri": url}}
    if account:
        predictor["serviceAccountName"] = account
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": model},
        "spec": {"predictor": predictor},
    }
    return [_cache(model, revision, url, size, nodes, account), service] if nodes else [service]


def _cache(model: str, revision: str, url: str, size: int, nodes: str, account: str) -> Document:
    # One a revision: the next one is fetched while this one still serves.
    spec: Document = {
        "sourceModelUri": url,
        "modelSize": f"{max(1, math.ceil(size / 2**20))}Mi",
        "nodeGroups": [nodes],
    }
    if account:
        spec["serviceAccountName"] = account
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelCache",
        "metadata": {"name": f"{model}-{revision}"},
        "spec": spec,
    }


def as_list(documents: list[Document]) -> str:
    """JSON, which ``kubectl apply -f -`` takes as it takes YAML."""
    found = {"apiVersion": "v1", "kind": "List", "items": documents}
    return json.dumps(found, indent=2, ensure_ascii=False)
