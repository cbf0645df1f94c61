"""The way in from outside: which address, which host, and the curl to paste."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.commands import ClusterError, read, run
from cluster.overlay import NAMESPACE


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

    def curl(self, model: str, image: str) -> str:
        """To paste into a shell."""
        payload = f'{{"instances": [{{"base64": "\'$(base64 -w0 {shlex.quote(image)})\'"}}]}}'
        return (
            f"echo '{payload}' |\n  curl -s -H 'Host: {self.host}' {self.predict_url(model)} -d @-"
        )


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


def predict(model: str, image: Path, address: str) -> None:
    """Print URL, host and curl, and what that curl answers."""
    entrance = find_entrance(model, address)
    try:
        encoded = base64.b64encode(image.read_bytes()).decode()
    except OSError as error:
        raise ClusterError(f"{image}: {error.strerror}") from None
    print(f"URL   {entrance.predict_url(model)}")
    print(f"Host  {entrance.host}\n")
    print(f"{entrance.curl(model, str(image))}\n", flush=True)
    answer = run(
        *("curl", "--silent", "--show-error", "--max-time", "90", "--data-binary", "@-"),
        *("-H", f"Host: {entrance.host}", "-w", r"\n%{http_code} in %{time_total} s\n"),
        entrance.predict_url(model),
        given=json.dumps({"instances": [{"base64": encoded}]}),
    )
    print(answer, end="")
    if "\n200 in " not in answer:
        raise ClusterError("the gateway or the service refused; see above")
