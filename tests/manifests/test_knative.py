from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.manifests.knative import refusals

VALID: dict[str, Any] = {
    "minReplicas": 0,
    "timeout": 60,
    "labels": {"a": "b"},
    "serviceAccountName": "vision",
    "automountServiceAccountToken": False,
    "volumes": [{"name": "cards", "configMap": {"name": "cards"}}],
    "containers": [
        {
            "name": "kserve-container",
            "image": "x:1",
            "env": [{"name": "A", "value": "1"}],
            "ports": [{"name": "h2c", "containerPort": 8081}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
            "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "cards", "mountPath": "/cards"}],
        }
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    component = copy.deepcopy(VALID)
    *parents, last = path.split("/")
    target: Any = component
    for part in parents:
        target = target[int(part) if part.isdigit() else part]
    target[last] = value
    return component


def test_a_valid_component_is_taken_without_flags() -> None:
    assert refusals(VALID) == []


@pytest.mark.parametrize(
    ("path", "value", "flag"),
    [
        ("nodeSelector", {"a": "b"}, "kubernetes.podspec-nodeselector"),
        ("tolerations", [], "kubernetes.podspec-tolerations"),
        ("topologySpreadConstraints", [], "kubernetes.podspec-topologyspreadconstraints"),
        ("securityContext", {"runAsUser": 1}, "kubernetes.podspec-securitycontext"),
        ("initContainers", [], "kubernetes.podspec-init-containers"),
        ("storageUris", [{"uri": "s3://a"}], "kubernetes.podspec-init-containers"),
        (
            "storageUris",
            [{"uri": "pvc://a"}],
            "kubernetes.podspec-persistent-volume-claim",
        ),
        (
            "volumes/0/persistentVolumeClaim",
            {"claimName": "x"},
            "kubernetes.podspec-persistent-volume-claim",
        ),
        (
            "containers/0/env/0/valueFrom",
            {"fieldRef": {"fieldPath": "metadata.name"}},
            "kubernetes.podspec-fieldref",
        ),
        (
            "containers/0/securityContext/capabilities",
            {"add": ["NET_ADMIN"]},
            "kubernetes.containerspec-addcapabilities",
        ),
    ],
)
def test_a_field_behind_a_flag(path: str, value: Any, flag: str) -> None:
    component = changed(path, value)
    (refusal,) = refusals(component)
    assert refusal.endswith(f"needs the flag {flag}")
    assert refusals(component, frozenset({flag})) == []
    assert refusals(component, frozenset({"another"})) == [refusal]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("hostname", "x", "hostname: never allowed"),
        ("terminationGracePeriodSeconds", 9, "terminationGracePeriodSeconds: never allowed"),
        ("automountServiceAccountToken", True, "may only be false"),
        ("timeout", 601, "above max-revision-timeout-seconds"),
        ("volumes/0/name", "other", "not mounted"),
        ("volumes/0/nfs", {}, "volumes.cards.nfs: never allowed"),
        ("containers/0/lifecycle", {}, "lifecycle: not allowed in a container"),
        ("containers/0/tty", True, "tty: not allowed in a container"),
        ("containers/0/env/0/name", "PORT", "env.PORT: reserved"),
        ("containers/0/ports/0/name", "grpc", "must be h2c or http1"),
        ("containers/0/ports/0/containerPort", 8012, "8012: reserved"),
        ("containers/0/ports", [{"containerPort": 1}, {"containerPort": 2}], "only one is allowed"),
        ("containers/0/securityContext/privileged", True, "may only be false"),
        ("containers/0/securityContext/seLinuxOptions", {}, "not allowed"),
        (
            "containers/0/livenessProbe",
            {"httpGet": {"path": "/", "port": 8080}},
            "goes to the declared port, not to 8080",
        ),
        (
            "containers/0/livenessProbe",
            {"httpGet": {"path": "/", "port": 8081}},
            "goes to the declared port, which is gRPC",
        ),
        (
            "containers/0/livenessProbe",
            {"tcpSocket": {"port": 8080}},
            "goes to the declared port, not to 8080",
        ),
        ("containers/0/readinessProbe/failureThreshold", 3, "disallowed without periodSeconds"),
    ],
)
def test_what_no_flag_opens(path: str, value: Any, message: str) -> None:
    assert any(message in refusal for refusal in refusals(changed(path, value)))
