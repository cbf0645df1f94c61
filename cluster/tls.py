"""``make cluster-tls``: certificates for what the cluster answers, and TLS between its parts.

Needs cert-manager, Knative and Kourier, as `make cluster` installs them. Can be done again.
"""

from __future__ import annotations

from cluster.commands import ROOT, run, run_again
from cluster.platform import patch_configmap, step, wait_available

ISSUERS = ("local", "http-01", "dns-01")
PUBLIC, INTERNAL = "vision", "vision-internal"
"""ClusterIssuers of manifests/issuers."""

CERTIFICATES = {
    "issuerRef": f"kind: ClusterIssuer\nname: {PUBLIC}\n",
    # Names within the cluster: no public authority can see them.
    "clusterLocalIssuerRef": f"kind: ClusterIssuer\nname: {INTERNAL}\n",
    "systemInternalIssuerRef": f"kind: ClusterIssuer\nname: {INTERNAL}\n",
}
"""config-certmanager."""

NETWORK = {
    "external-domain-tls": "Enabled",
    "http-protocol": "Redirected",
    # Gateway, activator and queue-proxies among themselves; Kourier knows how.
    "system-internal-tls": "Enabled",
    # Whoever may claim a name for a namespace is us, not whoever maps it first.
    "autocreate-cluster-domain-claims": "false",
}
"""config-network."""

BY_ISSUER = {
    # Kourier speaks TLS to whoever answers an authority's question, too, as to a queue-proxy: no
    # customer's domain would ever get a certificate.
    "http-01": {"system-internal-tls": "Disabled"},
}
"""config-network, where an issuer wants something else."""

READERS = ("controller", "activator")
"""Deployments of Knative's that read these settings at their start."""


def encrypt(issuer: str) -> None:
    """Issuers, and Knative's settings for them.

    Args:
        issuer: folder of ``manifests/issuers``: who vouches for names that people use.

    Raises:
        ClusterError: cert-manager or Knative does not take it.
    """
    step(f"issuers: {issuer}")
    folder = str(ROOT / "manifests" / "issuers" / issuer)
    run_again("kubectl", "apply", "--server-side", "--force-conflicts", "-k", folder)
    for name in (INTERNAL, PUBLIC):
        run("kubectl", "wait", "--for=condition=Ready", "--timeout=120s", f"clusterissuer/{name}")
    step("Knative's settings for TLS")
    patch_configmap("knative-serving", "config-certmanager", CERTIFICATES)
    patch_configmap("knative-serving", "config-network", NETWORK | BY_ISSUER.get(issuer, {}))
    for name in READERS:
        run("kubectl", "-n", "knative-serving", "rollout", "restart", f"deployment/{name}")
    wait_available("knative-serving")
    step("ready; services of before get their certificates within a minute")
