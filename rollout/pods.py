"""Asking a predictor's pods, one by one, over the API server: what they hold, what they count."""

from __future__ import annotations

import json
from typing import Any

from common.kubernetes import Cluster, KubernetesError, ObjectNotFoundError
from rollout.cards import Expected
from rollout.errors import RefusedError
from rollout.knative import is_ready, pods_of
from tasks import find_task

REST_PORT = 8080
"""The predictor's one port."""


def check_models(cluster: Cluster, revision: str, models: list[Expected]) -> dict[str, str]:
    """Ask a pod of a Knative revision for an answer of every model it must hold.

    Returns:
        The digest by model that the pod answers with; empty where no pod is up any more.

    Raises:
        RefusedError: a model does not answer, or as another revision, artifact or contract.
    """
    for pod in pods_of(cluster, revision):
        if is_ready(pod):
            name = pod["metadata"]["name"]
            return {item.model: _check(cluster, name, item) for item in models}
    return {}


def _check(cluster: Cluster, pod: str, item: Expected) -> str:
    if item.card is None:
        _ask(cluster, pod, f"/v2/models/{item.model}/ready", item.model)
        return ""
    contract = item.card.contract
    probe = find_task(contract.task).probe(contract)
    tensor = {
        "name": contract.input.name,
        "datatype": contract.input.dtype,
        "shape": list(probe.shape),
        "data": probe.ravel().tolist(),
    }
    body = {"inputs": [tensor]}
    answer = _ask(cluster, pod, f"/v2/models/{item.model}/infer", item.model, body)
    parameters = answer.get("parameters") or {}
    digest = str(parameters.get("model_digest", ""))
    found = {
        "revision": (str(answer.get("model_version", "")), item.revision),
        "digest": (digest, item.digest),
        "contract": (str(parameters.get("contract_digest", "")), item.contract),
    }
    for what, (is_, must) in found.items():
        if must and is_ != must:
            raise RefusedError(f"{item.model}: pod {pod} answers with {what} {is_}, not {must}")
    return digest


def _ask(
    cluster: Cluster, pod: str, path: str, model: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    try:
        answer = json.loads(cluster.ask_pod(pod, REST_PORT, path, body))
    except ObjectNotFoundError as error:
        raise RefusedError(f"{model} is not in pod {pod}: {error}") from None
    except KubernetesError as error:
        raise RefusedError(
            f"{model} does not answer in pod {pod}: {error} (the API server asks it on port "
            f"{REST_PORT}; does a network policy let it?)"
        ) from None
    except ValueError:
        raise RefusedError(f"{model} does not answer with JSON in pod {pod}") from None
    return answer if isinstance(answer, dict) else {}
