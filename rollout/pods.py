"""Asking a predictor's pods, one by one, over the API server: what they hold, what they count."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from artifact import Contract
from common.kubernetes import Cluster, KubernetesError, ObjectNotFoundError
from rollout.cards import Expected
from rollout.errors import RefusedError
from rollout.knative import is_ready, pods_of
from tasks import find_task

REST_PORT = 8080
"""A pod's one port: the predictor's, or in one pod the transformer's."""

TRANSFORMER = "transformer-container"
"""Beside the predictor in one pod, by KServe's name for it."""

SAMPLES = Path(__file__).parent.parent / "samples"


def has_transformer(pod: dict[str, Any]) -> bool:
    """Whether a pod takes pictures, not tensors: it is one of transformer and predictor."""
    return any(container["name"] == TRANSFORMER for container in pod["spec"]["containers"])


def check_models(
    cluster: Cluster, service: str, revision: str, models: list[Expected]
) -> dict[str, str]:
    """Ask a pod of a Knative revision for an answer of every model it must hold.

    Args:
        service: the InferenceService, by whose name one pod serves its model.

    Returns:
        The digest by model that the pod answers with; empty where no pod is up any more.

    Raises:
        RefusedError: a model does not answer, or as another revision, artifact or contract.
    """
    for pod in pods_of(cluster, revision):
        if is_ready(pod):
            name, both = pod["metadata"]["name"], has_transformer(pod)
            return {
                item.model: _check(cluster, name, item, service if both else "") for item in models
            }
    return {}


def _check(cluster: Cluster, pod: str, item: Expected, one_pod: str) -> str:
    """The digest that a model answers with; ``one_pod`` is the name it has there, else empty."""
    served = one_pod or item.model
    if item.card is None:
        _ask(cluster, pod, f"/v2/models/{served}/ready", item.model)
        return ""
    contract = item.card.contract
    tensor = picture_tensor(contract) if one_pod else probe_tensor(contract)
    answer = _ask(cluster, pod, f"/v2/models/{served}/infer", item.model, {"inputs": [tensor]})
    parameters = answer.get("parameters") or {}
    digest = str(parameters.get("model_digest", ""))
    found = {
        "revision": (str(answer.get("model_version", "")), item.revision),
        "digest": (digest, item.digest),
    }
    if not one_pod:  # where both servers read one card, the digest says it
        found["contract"] = (str(parameters.get("contract_digest", "")), item.contract)
    for what, (is_, must) in found.items():
        if must and is_ != must:
            raise RefusedError(f"{item.model}: pod {pod} answers with {what} {is_}, not {must}")
    return digest


def probe_tensor(contract: Contract) -> dict[str, Any]:
    """What every revision of a contract answers, as the transformer sends it."""
    probe = find_task(contract.task).probe(contract)
    return {
        "name": contract.input.name,
        "datatype": contract.input.dtype,
        "shape": list(probe.shape),
        "data": probe.ravel().tolist(),
    }


def picture_tensor(contract: Contract) -> dict[str, Any]:
    """A picture for a contract's task, as clients send it."""
    names = [path.name for path in SAMPLES.iterdir()]
    picture = (SAMPLES / find_task(contract.task).sample(contract, names)).read_bytes()
    data = base64.b64encode(picture).decode()
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": [data]}


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
