"""The ways in from outside: the address of Kourier, Knative's gateway, and of other Services."""

from __future__ import annotations

from common.kubernetes import NODE, SERVICE, Cluster, KubernetesError, ObjectNotFoundError

NAMESPACE, NAME = "kourier-system", "kourier"
HTTP_PORT = 80
HINT = "say where it is, GATEWAY=http://host:port"


def find_gateway(cluster: Cluster) -> str:
    """Kourier's address from outside; ``http://host[:port]``.

    Raises:
        ObjectNotFoundError: it has none, or may not be looked for.
    """
    try:
        return find_address(cluster, NAME, NAMESPACE)
    except KubernetesError as error:
        raise ObjectNotFoundError(f"the gateway was not found ({error}); {HINT}") from None


def find_address(cluster: Cluster, name: str, namespace: str | None = None) -> str:
    """A Service's load balancer where it has one, a node's port otherwise.

    Raises:
        KubernetesError: it cannot be read, or has neither.
    """
    service = cluster.get(SERVICE, name, namespace)
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    for entry in balancer.get("ingress") or []:
        return f"http://{entry.get('ip') or entry['hostname']}"
    ports = [port for port in service["spec"]["ports"] if port["port"] == HTTP_PORT]
    for node in cluster.find(NODE) if ports and ports[0].get("nodePort") else []:
        for address in node["status"]["addresses"]:
            if address["type"] == "InternalIP":
                return f"http://{address['address']}:{ports[0]['nodePort']}"
    where = f"{namespace or cluster.namespace}/{name}"
    raise ObjectNotFoundError(f"Service {where} has neither a load balancer nor a node's port")
