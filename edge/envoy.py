"""Envoy's configuration for one machine: the cluster's, with other addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.ports import LOCAL_HOST

CONFIGURATION = (
    Path(__file__).parent.parent / "manifests" / "components" / "accounts" / "envoy.yaml"
)


@dataclass(frozen=True)
class EdgePorts:
    """TCP ports on the loopback address; ``models`` is the transformer's."""

    edge: int
    admin: int
    check: int
    console: int
    models: int


def local_configuration(
    ports: EdgePorts, host: str = LOCAL_HOST, path: Path = CONFIGURATION
) -> dict[str, Any]:
    """The configuration at ``path`` with the edge on ``host`` and everything else on loopback.

    Args:
        host: the address that the edge listens on.
    """
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["admin"]["address"] = _address(LOCAL_HOST, ports.admin)
    resources = document["static_resources"]
    (listener,) = resources["listeners"]
    listener["address"] = _address(host, ports.edge)
    upstream = {"models": ports.models, "console": ports.console, "check": ports.check}
    for cluster in resources["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        endpoint["endpoint"]["address"] = _address(LOCAL_HOST, upstream[cluster["name"]])
        cluster["type"] = "STATIC"
    for route in _routes(listener):
        # On a cluster the host names the InferenceService.
        route.get("route", {}).pop("host_rewrite_literal", None)
    return document


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _routes(listener: dict[str, Any]) -> list[dict[str, Any]]:
    (chain,) = listener["filter_chains"]
    (manager,) = chain["filters"]
    (virtual_host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
    routes: list[dict[str, Any]] = virtual_host["routes"]
    return routes
