"""The way in from outside: which address, which host, and the curl to paste."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from artifact import model_contract
from cluster.commands import ROOT, ClusterError, read
from cluster.overlay import NAMESPACE
from tasks import find_task

SHOWN = 3
"""Entries of a list that an answer shows."""


@dataclass(frozen=True)
class Entrance:
    """Where requests go.

    Attributes:
        address: of the gateway, such as ``http://192.168.49.2:31080``.
        host: that the gateway routes by.
    """

    address: str
    host: str

    def predict_url(self, model: str) -> str:
        return f"{self.address}/v1/models/{model}:predict"


def find_entrance(model: str, address: str) -> Entrance:
    """Where a model's predictions are asked for.

    Args:
        address: the gateway's, where it is known already; empty: asked of the cluster.
    """
    isvc = holder(model)
    url = isvc.get("status", {}).get("url")
    if not url:
        raise ClusterError(f"{isvc['metadata']['name']} has no URL yet: is it ready?")
    return Entrance((address or gateway_address()).rstrip("/"), urlsplit(url).netloc)


def holder(model: str) -> dict[str, Any]:
    """The InferenceService whose transformer answers for a model."""
    command = ("kubectl", "-n", NAMESPACE, "get", "inferenceservices", "-o", "json")
    items: list[dict[str, Any]] = read(*command)["items"]
    for isvc in items:
        arguments = isvc["spec"].get("transformer", {}).get("containers", [{}])[0].get("args", [])
        if f"--model={model}" in arguments:
            return isvc
    raise ClusterError(f"no InferenceService in namespace {NAMESPACE} answers for {model!r}")


def gateway_address() -> str:
    """Kourier's load balancer where it has one, a node's port otherwise."""
    service = read("kubectl", "-n", "kourier-system", "get", "service", "kourier", "-o", "json")
    for ingress in service.get("status", {}).get("loadBalancer", {}).get("ingress", []):
        return f"http://{ingress.get('ip') or ingress['hostname']}"
    (port,) = (p for p in service["spec"]["ports"] if p["port"] == 80)
    if "nodePort" not in port:
        raise ClusterError("Kourier has neither a load balancer nor a node port: GATEWAY=http://…")
    nodes = read("kubectl", "get", "nodes", "-o", "json")["items"]
    for address in nodes[0]["status"]["addresses"]:
        if address["type"] == "InternalIP":
            return f"http://{address['address']}:{port['nodePort']}"
    raise ClusterError("no node has an address: GATEWAY=http://…")


def predict(model: str, image: Path | None, address: str, models: Path = ROOT / "models") -> None:
    """Print URL, host and curl, and what that curl answers.

    Args:
        image: None for the sample of the model's task.
        address: the gateway's; empty: asked of the cluster.
        models: folder of the revisions, whose cards say what task a model is of.
    """
    contract = model_contract(models, model)
    task = find_task(contract.task)
    if image is None:
        samples = ROOT / "samples"
        image = samples / task.sample(contract, [path.name for path in samples.iterdir()])
    entrance = find_entrance(model, address)
    try:
        question = task.shown_question(image.read_bytes(), SHOWN)
    except OSError as error:
        raise ClusterError(f"{image}: {error.strerror}") from None
    url = entrance.predict_url(model)
    print(f"URL   {url}")
    print(f"Host  {entrance.host}\n")
    host = f"-H 'Host: {entrance.host}'"
    print(task.curl(url, str(image), model, host) + "\n", flush=True)
    command = [
        *("curl", "--silent", "--show-error", "--max-time", "90", "--data-binary", "@-"),
        *("-H", f"Host: {entrance.host}", "-H", f"Content-Type: {question.media_type}"),
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
