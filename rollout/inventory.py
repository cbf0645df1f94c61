"""Which InferenceServices there are, and which one a command means."""

from __future__ import annotations

from common.kubernetes import INFERENCE_SERVICE, Cluster, KubernetesError, ObjectNotFoundError
from rollout.errors import NotFoundError
from rollout.inferenceservice import InferenceService


def services_of(cluster: Cluster) -> list[InferenceService]:
    """The InferenceServices whose predictor is told what it holds, or where that lies."""
    services = [InferenceService(item) for item in cluster.find(INFERENCE_SERVICE)]
    return [service for service in services if service.models]


def find_service(cluster: Cluster, model: str | None) -> str:
    """The InferenceService that holds a model, or the only one that there is.

    One pod counts by its own name too, and whatever its address, where nothing else fits.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    try:
        every = [InferenceService(item) for item in cluster.find(INFERENCE_SERVICE)]
    except KubernetesError as error:
        if isinstance(error, ObjectNotFoundError):
            raise  # there is no KServe
        raise KubernetesError(f"{error}; name one, SERVICE=…", error.code) from None
    services = [service for service in every if service.models]
    found = [s for s in services if model is None or model in s.models]
    found = found or [s for s in every if s.storage_uri and model in (None, s.name)]
    what = f"that holds {model}" if model else "of this project"
    if not found:
        held = "; ".join(f"{s.name} holds {', '.join(s.models)}" for s in services)
        raise NotFoundError(
            f"namespace {cluster.namespace} has no InferenceService {what}"
            + (f" ({held})" if held else "")
        )
    if len(found) > 1:
        names = ", ".join(service.name for service in found)
        raise NotFoundError(f"several InferenceServices {what}: {names}; name one, SERVICE=…")
    return found[0].name
