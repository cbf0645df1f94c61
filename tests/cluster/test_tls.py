from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.__main__ import main
from cluster.tls import CERTIFICATES, INTERNAL, ISSUERS, PUBLIC
from tests.cluster.conftest import Tools
from tests.cluster.test_platform import AVAILABLE
from tests.manifests.rendering import MANIFESTS, of_kind, render
from tests.manifests.schema import faults


def issuers(name: str) -> dict[str, Any]:
    documents = render(MANIFESTS / "issuers" / name)
    assert [fault for document in documents for fault in faults(document)] == []
    return {d["metadata"]["name"]: d["spec"] for d in of_kind(documents, "ClusterIssuer")}


def test_every_issuer_is_listed() -> None:
    assert {p.name for p in (MANIFESTS / "issuers").iterdir()} == {"internal", *ISSUERS}


@pytest.mark.parametrize("name", ISSUERS)
def test_names_of_the_cluster_are_signed_by_its_own_authority(name: str) -> None:
    found = issuers(name)
    # ACME cannot sign what `system-internal-tls` asks for.
    assert "ca" in found[INTERNAL]
    assert ("acme" in found[PUBLIC]) == (name != "local")
    for key, text in CERTIFICATES.items():
        reference = yaml.safe_load(text)
        assert reference["kind"] == "ClusterIssuer"
        assert reference["name"] == (PUBLIC if key == "issuerRef" else INTERNAL)


def test_issuers_come_before_settings_and_settings_before_a_restart(
    tools: Tools, tmp_path: Path
) -> None:
    tools.add("kubectl", ("get deployments", AVAILABLE))
    assert main(["tls", "--issuer", "dns-01"]) == 0
    calls = [call for call in tools.calls if "get deployments" not in call]
    wanted = [
        f"apply --server-side --force-conflicts -k {MANIFESTS}/issuers/dns-01",
        f"clusterissuer/{INTERNAL}",
        f"clusterissuer/{PUBLIC}",
        "patch configmap config-certmanager",
        "patch configmap config-network",
        "rollout restart deployment/controller",
        "rollout restart deployment/activator",
    ]
    assert len(calls) == len(wanted)
    for call, part in zip(calls, wanted, strict=True):
        assert part in call
    assert '"system-internal-tls": "Enabled"' in calls[4]
    assert '"autocreate-cluster-domain-claims": "false"' in calls[4]


@pytest.mark.parametrize("issuer", ISSUERS)
def test_a_question_by_http_and_tls_within_are_not_both_had(issuer: str, tools: Tools) -> None:
    """Kourier would speak TLS to cert-manager's solver, which does not."""
    tools.add("kubectl", ("get deployments", AVAILABLE))
    assert main(["tls", "--issuer", issuer]) == 0
    (call,) = (call for call in tools.calls if "patch configmap config-network" in call)
    wanted = "Disabled" if issuer == "http-01" else "Enabled"
    assert f'"system-internal-tls": "{wanted}"' in call
