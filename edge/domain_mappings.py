"""Customers' domains on a cluster: a claim, and a mapping to the edge, by Knative.

The mapping leads to the plain Service ``edge``, never to a Knative Service: that would make it
public, past the edge and its keys. The claim keeps the name for this namespace; only we may make
claims. With Knative's ``external-domain-tls`` the mapping has a certificate made by cert-manager.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SECONDS = 10.0
IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc"
CLAIMS = "/apis/networking.internal.knative.dev/v1alpha1/clusterdomainclaims"
MADE_BY = {"app.kubernetes.io/managed-by": "vision-domains"}
EDGE = "edge"
HTTP_PROTOCOL = "networking.knative.dev/http-protocol"
"""Annotation of a mapping, before what config-network says. Where that is ``Redirected``, Kourier
sends an authority's question (HTTP-01) on to https as well, of a name without a certificate."""
NOT_FOUND, CONFLICT = 404, 409


@dataclass(frozen=True)
class Mappings:
    """Attributes:
    client: of the cluster's API server, with our right to it.
    token_file: read at each call, since Kubernetes renews it.
    """

    client: httpx.Client
    namespace: str
    token_file: Path

    @classmethod
    def in_cluster(cls, folder: Path) -> Mappings:
        """With the ServiceAccount that this pod has."""
        verify = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        client = httpx.Client(base_url=API, verify=verify, timeout=SECONDS)
        return cls(client, (folder / "namespace").read_text().strip(), folder / "token")

    def ensure(self, name: str) -> str:
        """Claim and map it; says what it waits for."""
        claim = self._create(
            CLAIMS,
            name,
            {
                "apiVersion": "networking.internal.knative.dev/v1alpha1",
                "kind": "ClusterDomainClaim",
                "metadata": {"name": name, "labels": MADE_BY},
                "spec": {"namespace": self.namespace},
            },
        )
        if claim["spec"]["namespace"] != self.namespace:
            return f"namespace {claim['spec']['namespace']} of this cluster has claimed the name"
        mapping = self._create(
            self._mappings,
            name,
            {
                "apiVersion": "serving.knative.dev/v1beta1",
                "kind": "DomainMapping",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": MADE_BY,
                    "annotations": {HTTP_PROTOCOL: "enabled"},
                },
                "spec": {
                    "ref": {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "name": EDGE,
                        "namespace": self.namespace,
                    }
                },
            },
        )
        if MADE_BY.items() - mapping["metadata"].get("labels", {}).items():
            return "somebody else has mapped the name in this namespace"
        conditions = {
            item["type"]: item for item in mapping.get("status", {}).get("conditions", [])
        }
        certificate = conditions.get("CertificateProvisioned", {"status": "Unknown"})
        by_http = None if certificate["status"] == "True" else "enabled"
        if mapping["metadata"].get("annotations", {}).get(HTTP_PROTOCOL) != by_http:
            change = {"metadata": {"annotations": {HTTP_PROTOCOL: by_http}}}
            self._request("PATCH", f"{self._mappings}/{name}", change)
        ready = conditions.get("Ready", {"status": "Unknown"})
        if ready["status"] == "True":
            return ""
        told = next(
            (c for t, c in conditions.items() if t != "Ready" and c["status"] != "True"), ready
        )
        return f"waits for {told.get('type', 'Knative')}: {told.get('message', 'not there yet')}"

    def remove(self, name: str) -> str:
        """The mapping with its certificate, then the key in its Secret, then the claim."""
        found = self._request("GET", f"{self._mappings}/{name}")
        if found is not None:
            if MADE_BY.items() - found["metadata"].get("labels", {}).items():
                return "somebody else has mapped the name in this namespace"
            if "deletionTimestamp" not in found["metadata"]:
                # It stays until the Certificates of Knative and cert-manager are gone.
                self._request("DELETE", f"{self._mappings}/{name}?propagationPolicy=Foreground")
            return "its mapping is going"
        claim = self._request("GET", f"{CLAIMS}/{name}")
        if claim is not None and claim["spec"]["namespace"] == self.namespace:
            # Which Knative names like the mapping. cert-manager leaves it where it is, and would
            # issue anew if it went before its Certificate did.
            self._request("DELETE", f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
            self._request("DELETE", f"{CLAIMS}/{name}")
        return ""

    @property
    def _mappings(self) -> str:
        return f"/apis/serving.knative.dev/v1beta1/namespaces/{self.namespace}/domainmappings"

    def _create(self, path: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """What there is under this name, made where there is nothing."""
        found = self._request("GET", f"{path}/{name}")
        if found is None:
            found = self._request("POST", path, document)
        if found is None:
            raise RuntimeError(f"{path} is not there: is Knative?")
        return found

    def _request(
        self, method: str, path: str, document: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """None where there is nothing; raises httpx.HTTPError for other failures."""
        token = self.token_file.read_text(encoding="utf-8").strip()
        headers = {"authorization": f"Bearer {token}"}
        if method == "PATCH":
            headers["content-type"] = "application/merge-patch+json"
        answer = self.client.request(method, path, json=document, headers=headers)
        if answer.status_code == NOT_FOUND:
            return None
        if answer.status_code == CONFLICT and method == "POST":
            return self._request("GET", f"{path}/{(document or {})['metadata']['name']}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
