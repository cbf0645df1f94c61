"""The way in from outside: which address, which host, and the curl to paste."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from artifact import model_contract
from cluster.commands import ROOT, ClusterError
from common.kourier import find_address, find_gateway
from common.kubernetes import INFERENCE_SERVICE, Cluster, KubernetesError
from tasks import find_task

SHOWN = 3
"""Entries of a list that an answer shows."""

FORMAT = "vision"
"""The model format of the ServingRuntime."""

VISIBILITY = "networking.knative.dev/visibility"
EDGE = "edge"
"""Component ``accounts``'s Service, which takes requests where the gateway does not."""


@dataclass(frozen=True)
class Entrance:
    """Where requests go.

    Attributes:
        address: such as ``http://192.168.49.2:31080``.
        headers: what requests need there: a host that the gateway routes by, or a key.
    """

    address: str
    headers: dict[str, str]

    def predict_url(self, model: str) -> str:
        return f"{self.address}/v1/models/{model}:predict"


def find_entrance(cluster: Cluster, model: str, address: str, key: str = "") -> Entrance:
    """Where a model's predictions are asked for.

    Args:
        address: the gateway's, where it is known already; empty: asked of the cluster.
        key: for a service that is behind accounts.

    Raises:
        ClusterError: no service answers for the model; or it does behind accounts, without a key.
    """
    isvc = holder(cluster, model)
    name = isvc["metadata"]["name"]
    url = isvc.get("status", {}).get("url")
    if not url:
        raise ClusterError(f"{name} has no URL yet: is it ready?")
    if behind_accounts(isvc):
        where = address or _edge(cluster)
        if not key:
            raise ClusterError(
                f"{name} is behind accounts: the way in is Service {EDGE}, {where}; "
                "create an API key on its page, then KEY=vk_…"
            )
        return Entrance(where.rstrip("/"), {"Authorization": f"Bearer {key}"})
    found = (address or find_gateway(cluster)).rstrip("/")
    return Entrance(found, {"Host": urlsplit(url).netloc})


def holder(cluster: Cluster, model: str) -> dict[str, Any]:
    """The InferenceService whose transformer answers for a model."""
    services = cluster.find(INFERENCE_SERVICE)
    for isvc in services:
        if model in models_of(isvc):
            return isvc
    known = sorted(name for isvc in services for name in models_of(isvc))
    raise ClusterError(
        f"no InferenceService in namespace {cluster.namespace} answers for {model!r}; "
        f"available: {', '.join(known) or 'none'}"
    )


def models_of(isvc: dict[str, Any]) -> list[str]:
    """The models that an InferenceService's transformer answers for.

    One pod of the ServingRuntime calls its model as it is called itself.
    """
    runtime = (isvc["spec"].get("predictor") or {}).get("model") or {}
    if (runtime.get("modelFormat") or {}).get("name") == FORMAT:
        return [isvc["metadata"]["name"]]
    containers = (isvc["spec"].get("transformer") or {}).get("containers") or []
    words = [str(word) for container in containers for word in container.get("args") or []]
    return [
        word.removeprefix("--model=").partition("=")[0]
        for word in words
        if word.startswith("--model=")
    ]


def behind_accounts(isvc: dict[str, Any]) -> bool:
    """Whether the gateway's outer listener does not know the service: accounts hide it."""
    labels = (isvc["spec"].get("transformer") or {}).get("labels") or {}
    return bool(labels.get(VISIBILITY) == "cluster-local")


def _edge(cluster: Cluster) -> str:
    try:
        return find_address(cluster, EDGE)
    except KubernetesError as error:
        raise ClusterError(
            f"the service is behind accounts, and the way in was not found ({error}); "
            "say where it is, GATEWAY=http://host:port"
        ) from None


def predict(
    cluster: Cluster,
    model: str,
    image: Path | None,
    address: str,
    models: Path = ROOT / "models",
    key: str = "",
) -> None:
    """Print URL, host and curl, and what that curl answers.

    Args:
        image: None for the sample of the model's task.
        address: the gateway's; empty: asked of the cluster.
        models: folder of the revisions, whose cards say what task a model is of.
        key: where the service is behind accounts.
    """
    contract = model_contract(models, model)
    task = find_task(contract.task)
    if image is None:
        samples = ROOT / "samples"
        image = samples / task.sample(contract, [path.name for path in samples.iterdir()])
    entrance = find_entrance(cluster, model, address, key)
    try:
        question = task.shown_question(image.read_bytes(), SHOWN)
    except OSError as error:
        raise ClusterError(f"{image}: {error.strerror}") from None
    url = entrance.predict_url(model)
    print(f"URL   {url}")
    if "Host" in entrance.headers:
        print(f"Host  {entrance.headers['Host']}")
    # A key stays in its variable: what is printed is pasted, and kept in histories.
    options = " ".join(
        '-H "Authorization: Bearer $KEY"' if name == "Authorization" else f"-H '{name}: {value}'"
        for name, value in entrance.headers.items()
    )
    print("\n" + task.curl(url, str(image), model, options) + "\n", flush=True)
    command = [
        *("curl", "--silent", "--show-error", "--max-time", "90", "--data-binary", "@-"),
        *(part for name, value in entrance.headers.items() for part in ("-H", f"{name}: {value}")),
        *("-H", f"Content-Type: {question.media_type}"),
        *("-H", f"Accept: {question.accept}", "-w", r"\n%{http_code} in %{time_total} s\n", url),
    ]
    try:
        done = subprocess.run(command, input=question.body, capture_output=True, check=False)
    except FileNotFoundError:
        raise ClusterError("curl is not installed") from None
    if done.returncode:
        raise ClusterError(f"curl: status {done.returncode}\n{done.stderr.decode().strip()}")
    body, _, status = done.stdout.rstrip(b"\n").rpartition(b"\n")
    if not status.startswith(b"200 in "):
        print(body.decode(errors="replace"), status.decode(errors="replace"), sep="\n")
        raise ClusterError("the gateway or the service refused; see above")
    shown = task.show(body)
    if shown.file:
        path = Path(f"{image.stem}-{model}{shown.suffix}")
        path.write_bytes(shown.file)
        print(f"wrote {path}")
    else:
        print(body.decode())
    print(status.decode())
