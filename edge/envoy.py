"""Envoy's configuration for one machine: the cluster's, with other addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from common.origins import ALL
from common.otlp import is_switched_on
from common.ports import LOCAL_HOST
from edge.certificates import LISTENERS, Folders, usable, write_listener

CONFIGURATION = (
    Path(__file__).parent.parent / "manifests" / "components" / "accounts" / "envoy.yaml"
)
CORS = "envoy.filters.http.cors"
REDIRECT = "edge.redirect_to_https"
"""Envoy's runtime key: of a hundred requests by http, how many are sent on to https."""
OTLP = "otlp"
"""The cluster of the collector of spans."""


@dataclass(frozen=True)
class EdgePorts:
    """TCP ports on the loopback address; ``models`` is the transformer's, ``metrics`` the check's,
    ``tls`` the edge's own of https, ``acme`` of whoever answers an authority, ``shadow`` where
    copies go that are compared, ``capture`` where those go that are kept, ``others`` where the
    check answers other replicas' Envoys; 0 for none. ``other_checks`` is where theirs do.
    """

    edge: int
    admin: int
    check: int
    console: int
    models: int
    metrics: int = 0
    tls: int = 0
    acme: int = 0
    shadow: int = 0
    capture: int = 0
    others: int = 0
    other_checks: tuple[int, ...] = ()


def local_configuration(
    ports: EdgePorts,
    host: str = LOCAL_HOST,
    path: Path = CONFIGURATION,
    origins: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    certificates: Folders | None = None,
) -> dict[str, Any]:
    """The configuration at ``path`` with the edge on ``host`` and everything else on loopback.

    Args:
        host: the address that the edge listens on.
        origins: web origins whose pages may read the models' answers.
        environment: whose ``OTEL_*`` may ask for spans of Envoy's.
        certificates: for ``ports.tls``; its listener is written there, beside what this returns,
            and what comes by http is sent on to it.
    """
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["admin"]["address"] = _address(LOCAL_HOST, ports.admin)
    resources = document["static_resources"]
    # Envoy's metrics are read where it is administered.
    listener, by_tls, _ = resources["listeners"]
    del resources["listeners"][1:]
    listener["address"] = _address(host, ports.edge)
    by_tls["address"] = _address(host, ports.tls)
    upstream = {
        "admin": ports.admin,
        "models": ports.models,
        "console": ports.console,
        "check": ports.check,
        "acme": ports.acme,
        "shadow": ports.shadow,
        "capture": ports.capture,
    }
    for cluster in resources["clusters"]:
        if "load_assignment" not in cluster:
            continue
        endpoints, *others = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        endpoint["endpoint"]["address"] = _address(LOCAL_HOST, upstream[cluster["name"]])
        cluster["type"] = "STATIC"
        for other in others:
            other["lb_endpoints"] = [
                {"endpoint": {"address": _address(LOCAL_HOST, port)}} for port in ports.other_checks
            ]
    for route in _routes(listener):
        # On a cluster the host names the InferenceService.
        route.get("route", {}).pop("host_rewrite_literal", None)
        policy = route.get("typed_per_filter_config", {}).get(CORS)
        if policy is not None:
            policy["allow_origin_string_match"] = [_matcher(origin) for origin in origins]
    if is_switched_on("traces", environment or {}):
        _trace(listener, resources["clusters"], environment or {})
    if certificates is not None:
        _redirect(document, listener, ports.tls)
        write_listener(certificates, by_tls, usable(certificates))
        listeners = {
            "path": str(certificates.envoy.resolve() / LISTENERS),
            "watched_directory": {"path": str(certificates.envoy.resolve())},
        }
        document["dynamic_resources"] = {
            "lds_config": {"path_config_source": listeners, "resource_api_version": "V3"}
        }
    return document


def _redirect(document: dict[str, Any], listener: dict[str, Any], port: int) -> None:
    """From http to that port, as component tls has it."""
    layer = {"name": "tls", "static_layer": {REDIRECT: 100}}
    document["layered_runtime"] = {"layers": [layer]}
    for route in _routes(listener):
        if "redirect" in route:
            route["redirect"]["port_redirect"] = port


def _trace(
    listener: dict[str, Any], clusters: list[dict[str, Any]], environment: Mapping[str, str]
) -> None:
    """Have Envoy send spans to where the servers send theirs."""
    endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
    collector = urlsplit(
        environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or f"{endpoint.rstrip('/')}/v1/traces"
    )
    (chain,) = listener["filter_chains"]
    (manager,) = chain["filters"]
    manager["typed_config"]["tracing"] = {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "vision-edge",
                "http_service": {
                    "http_uri": {"uri": collector.geturl(), "cluster": OTLP, "timeout": "1s"}
                },
            },
        },
        "random_sampling": {"value": _sampled_percent(environment)},
    }
    address = _address(collector.hostname or LOCAL_HOST, collector.port or 4318)
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    clusters.append(
        {
            "name": OTLP,
            "type": "STRICT_DNS",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": OTLP, "endpoints": endpoints},
        }
    )


def _sampled_percent(environment: Mapping[str, str]) -> float:
    """Of requests whose callers say nothing of traces."""
    sampler = environment.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    if sampler.endswith("traceidratio"):
        return 100 * float(environment.get("OTEL_TRACES_SAMPLER_ARG") or 1)
    return 0.0 if sampler.endswith("always_off") else 100.0


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
