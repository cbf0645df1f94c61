"""The way in from outside: the address of Kourier, Knative's gateway."""

from __future__ import annotations

from common.kubernetes import NODE, SERVICE, Cluster, KubernetesError, ObjectNotFoundError

NAMESPACE, NAME = "kourier-system", "kourier"
HTTP_PORT = 80
HINT = "say where it is, GATEWAY=http://host:port"


def find_gateway(cluster: Cluster) -> str:
    """Its load balancer where it has one, a node's port otherwise; ``http://host[:port]``.

    Raises:
        ObjectNotFoundError: it has neither, or may not be looked for.
    """
    try:
        service = cluster.get(SERVICE, NAME, NAMESPACE)
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        for entry in balancer.get("ingress") or []:
            return f"http://{entry.get('ip') or entry['hostname']}"
        ports = [port for port in service["spec"]["ports"] if port["port"] == HTTP_PORT]
        for node in cluster.find(NODE) if ports and ports[0].get("nodePort") else []:
            for address in node["status"]["addresses"]:
                if address["type"] == "InternalIP":
                    return f"http://{address['address']}:{ports[0]['nodePort']}"
    except KubernetesError as error:
        raise ObjectNotFoundError(f"the gateway was not found ({error}); {HINT}") from None
    raise ObjectNotFoundError(
        f"Service {NAMESPACE}/{NAME} has neither a load balancer's address nor a node's; {HINT}"
    )
