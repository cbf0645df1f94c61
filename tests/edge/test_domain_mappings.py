"""A domain on a cluster, against what the API server would keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.domain_mappings import CLAIMS, HTTP_PROTOCOL, Mappings

NAME = "vision.example.org"
MAPPINGS = "/apis/serving.knative.dev/v1beta1/namespaces/vision/domainmappings"
SECRETS = "/api/v1/namespaces/vision/secrets"


class ApiServer:
    """Keeps documents by path; what is deleted in the foreground stays until it is collected."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer t0ken"
        path = request.url.path
        if request.method == "POST":
            document = json.loads(request.content)
            path = f"{path}/{document['metadata']['name']}"
            if path in self.documents:
                return httpx.Response(409)
            self.documents[path] = document
            return httpx.Response(201, json=document)
        if path not in self.documents:
            return httpx.Response(404)
        found = self.documents[path]
        if request.method == "PATCH":
            assert request.headers["content-type"] == "application/merge-patch+json"
            change = json.loads(request.content)["metadata"]["annotations"]
            kept = found["metadata"].setdefault("annotations", {}) | change
            found["metadata"]["annotations"] = {k: v for k, v in kept.items() if v is not None}
        if request.url.params.get("propagationPolicy") == "Foreground":
            found["metadata"]["deletionTimestamp"] = "2026-11-30T12:00:00Z"
        elif request.method == "DELETE":
            del self.documents[path]
        return httpx.Response(200, json=found)


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def mappings(server: ApiServer, tmp_path: Path) -> Mappings:
    (tmp_path / "token").write_text("t0ken\n")
    client = httpx.Client(base_url="https://k", transport=httpx.MockTransport(server))
    return Mappings(client, "vision", tmp_path / "token")


def test_it_is_claimed_and_leads_to_the_edge(server: ApiServer, mappings: Mappings) -> None:
    assert "waits for" in mappings.ensure(NAME)
    claim, mapping = server.documents[f"{CLAIMS}/{NAME}"], server.documents[f"{MAPPINGS}/{NAME}"]
    assert claim["spec"] == {"namespace": "vision"}
    # A plain Service: mapped to a cluster-local Knative Service the models would be public.
    ref = {"apiVersion": "v1", "kind": "Service", "name": "edge", "namespace": "vision"}
    assert mapping["spec"]["ref"] == ref
    mapping["status"] = {
        "conditions": [
            {"type": "Ready", "status": "Unknown"},
            {"type": "CertificateProvisioned", "status": "Unknown", "message": "order pending"},
        ]
    }
    assert mappings.ensure(NAME) == "waits for CertificateProvisioned: order pending"
    mapping["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert mappings.ensure(NAME) == mappings.ensure(NAME) == ""


def test_http_is_answered_until_there_is_a_certificate(
    server: ApiServer, mappings: Mappings
) -> None:
    """The authority's question comes by http: sent on to https, no first certificate is had."""
    mappings.ensure(NAME)
    mapping = server.documents[f"{MAPPINGS}/{NAME}"]
    for has, expected in (
        ("Unknown", {HTTP_PROTOCOL: "enabled"}),
        ("True", {}),
        ("False", {HTTP_PROTOCOL: "enabled"}),
    ):
        mapping["status"] = {"conditions": [{"type": "CertificateProvisioned", "status": has}]}
        for _ in range(2):
            mappings.ensure(NAME)
            assert mapping["metadata"]["annotations"] == expected


def test_it_goes_with_its_certificate_and_key(server: ApiServer, mappings: Mappings) -> None:
    mappings.ensure(NAME)
    server.documents[f"{SECRETS}/{NAME}"] = server.documents[f"{SECRETS}/accounts"] = {}
    for _ in range(2):
        assert mappings.remove(NAME) == "its mapping is going"
        # cert-manager writes a new key for a Certificate that is there and has none.
        assert f"{SECRETS}/{NAME}" in server.documents
    # Kubernetes takes the certificates along, and the mapping when they are gone.
    del server.documents[f"{MAPPINGS}/{NAME}"]
    assert mappings.remove(NAME) == mappings.remove(NAME) == ""
    assert list(server.documents) == [f"{SECRETS}/accounts"]


def test_what_others_have_claimed_or_mapped_is_left_alone(
    server: ApiServer, mappings: Mappings
) -> None:
    key: dict[str, Any] = {f"{SECRETS}/{NAME}": {}}
    server.documents.update(key)
    claim = {"metadata": {"name": NAME}, "spec": {"namespace": "theirs"}}
    server.documents[f"{CLAIMS}/{NAME}"] = claim
    assert "namespace theirs" in mappings.ensure(NAME)
    assert mappings.remove(NAME) == "" and server.documents == key | {f"{CLAIMS}/{NAME}": claim}
    claim["spec"] = {"namespace": "vision"}
    mapped = {"metadata": {"name": NAME, "labels": {"app": "theirs"}}}
    server.documents[f"{MAPPINGS}/{NAME}"] = mapped
    for said in (mappings.ensure(NAME), mappings.remove(NAME)):
        assert said == "somebody else has mapped the name in this namespace"
    assert server.documents[f"{MAPPINGS}/{NAME}"] == mapped
