"""Envoy's configuration for one machine: the cluster's, with other addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.origins import ALL
from common.ports import LOCAL_HOST

CONFIGURATION = (
    Path(__file__).parent.parent / "manifests" / "components" / "accounts" / "envoy.yaml"
)
CORS = "envoy.filters.http.cors"


@dataclass(frozen=True)
class EdgePorts:
    """TCP ports on the loopback address; ``models`` is the transformer's."""

    edge: int
    admin: int
    check: int
    console: int
    models: int


def local_configuration(
    ports: EdgePorts,
    host: str = LOCAL_HOST,
    path: Path = CONFIGURATION,
    origins: Sequence[str] = (),
) -> dict[str, Any]:
    """The configuration at ``path`` with the edge on ``host`` and everything else on loopback.

    Args:
        host: the address that the edge listens on.
        origins: web origins whose pages may read the models' answers.
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
        policy = route.get("typed_per_filter_config", {}).get(CORS)
        if policy is not None:
            policy["allow_origin_string_match"] = [_matcher(origin) for origin in origins]
    return document


def _matcher(origin: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": ".*"}} if origin == ALL else {"exact": origin}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _routes(listener: dict[str, Any]) -> list[dict[str, Any]]:
    (chain,) = listener["filter_chains"]
    (manager,) = chain["filters"]
    (virtual_host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
    routes: list[dict[str, Any]] = virtual_host["routes"]
    return routes
