"""What `make cluster` needs and installs."""

from __future__ import annotations

from dataclasses import dataclass

MINIKUBE = (1, 38)
KUBECTL = (1, 33)
"""Oldest tools; kubectl may differ from the cluster by one minor version."""

KUBERNETES = "v1.34.4"


@dataclass(frozen=True)
class Release:
    """A project's release manifests, in the order they are applied."""

    name: str
    version: str
    namespace: str
    manifests: tuple[str, ...]


CERT_MANAGER = Release(
    "cert-manager",
    "v1.17.0",
    "cert-manager",
    ("https://github.com/cert-manager/cert-manager/releases/download/v1.17.0/cert-manager.yaml",),
)

KNATIVE = Release(
    "Knative Serving",
    "1.21.1",
    "knative-serving",
    (
        "https://github.com/knative/serving/releases/download/knative-v1.21.1/serving-crds.yaml",
        "https://github.com/knative/serving/releases/download/knative-v1.21.1/serving-core.yaml",
    ),
)

KOURIER = Release(
    "Kourier",
    "1.21.0",
    "kourier-system",
    (
        "https://github.com/knative-extensions/net-kourier/releases/download/"
        "knative-v1.21.0/kourier.yaml",
    ),
)

KSERVE = Release(
    "KServe",
    "v0.21.0",
    "kserve",
    ("https://github.com/kserve/kserve/releases/download/v0.21.0/kserve.yaml",),
)


def manifests() -> list[str]:
    """URLs of everything that `make cluster` applies, in order."""
    return [url for r in (CERT_MANAGER, KNATIVE, KOURIER, KSERVE) for url in r.manifests]
