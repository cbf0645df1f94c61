"""What Knative says to the Services that KServe makes of an InferenceService.

KServe takes any pod field and Knative refuses most of them, some unless a flag in ConfigMap
``config-features`` opens them. This holds the same lists as Knative's
``pkg/apis/serving/fieldmask.go`` and ``k8s_validation.go`` (August 2026; flags by their defaults
in ``pkg/apis/config/features.go``), what ``pkg/reconciler/revision/resources/deploy.go`` does to
liveness probes, and the part of KServe's ``ksvc_reconciler.go`` that decides
what reaches Knative.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KSERVE_FIELDS = {
    "annotations",
    "autoScaling",
    "batcher",
    "canaryTrafficPercent",
    "containerConcurrency",
    "deploymentStrategy",
    "labels",
    "logger",
    "maxReplicas",
    "minReplicas",
    "name",
    "scaleMetric",
    "scaleMetricType",
    "scaleTarget",
    "storageContainerName",
    "storageUris",
    "timeout",
}
"""Fields of a component that are KServe's own; the others are the pod's."""

POD_FIELDS: dict[str, str | None] = {
    "automountServiceAccountToken": None,
    "containers": None,
    "enableServiceLinks": None,
    "imagePullSecrets": None,
    "serviceAccountName": None,
    "volumes": None,
    "affinity": "kubernetes.podspec-affinity",
    "dnsConfig": "kubernetes.podspec-dnsconfig",
    "dnsPolicy": "kubernetes.podspec-dnspolicy",
    "hostAliases": "kubernetes.podspec-hostaliases",
    "hostIPC": "kubernetes.podspec-hostipc",
    "hostNetwork": "kubernetes.podspec-hostnetwork",
    "hostPID": "kubernetes.podspec-hostpid",
    "initContainers": "kubernetes.podspec-init-containers",
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "priorityClassName": "kubernetes.podspec-priorityclassname",
    "runtimeClassName": "kubernetes.podspec-runtimeclassname",
    "schedulerName": "kubernetes.podspec-schedulername",
    "securityContext": "kubernetes.podspec-securitycontext",
    "shareProcessNamespace": "kubernetes.podspec-shareprocessnamespace",
    "tolerations": "kubernetes.podspec-tolerations",
    "topologySpreadConstraints": "kubernetes.podspec-topologyspreadconstraints",
}

VOLUME_SOURCES: dict[str, str | None] = {
    "configMap": None,
    "emptyDir": None,
    "projected": None,
    "secret": None,
    "csi": "kubernetes.podspec-volumes-csi",
    "ephemeral": "kubernetes.podspec-volumes-ephemeral",
    "hostPath": "kubernetes.podspec-volumes-hostpath",
    "image": "kubernetes.podspec-volumes-image",
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
}

ENVIRONMENT_SOURCES: dict[str, str | None] = {
    "configMapKeyRef": None,
    "secretKeyRef": None,
    "fieldRef": "kubernetes.podspec-fieldref",
    "resourceFieldRef": "kubernetes.podspec-fieldref",
}

CONTAINER_FIELDS = {
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts",
    "workingDir",
}

SECURITY_FIELDS = {
    "allowPrivilegeEscalation",
    "capabilities",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
}

RESERVED_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}
RESERVED_ENVIRONMENT = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
MAX_TIMEOUT_SECONDS = 600
DEFAULT_STORAGE_FLAG = "kubernetes.podspec-init-containers"

Flags = frozenset[str]


def refusals(component: dict[str, Any], flags: Flags = frozenset()) -> list[str]:
    """Why Knative refuses the Service of a predictor or transformer; empty: it does not."""
    return list(_refusals(component, flags))


def _refusals(component: dict[str, Any], flags: Flags) -> Iterator[str]:
    pod = {name: value for name, value in component.items() if name not in KSERVE_FIELDS}
    yield from _flagged(pod, POD_FIELDS, flags, "")
    for uri in component.get("storageUris", []):
        volume = uri["uri"].startswith("pvc://")
        flag = VOLUME_SOURCES["persistentVolumeClaim"] if volume else DEFAULT_STORAGE_FLAG
        if flag not in flags:
            yield f"storageUris: needs the flag {flag}"
    if pod.get("automountServiceAccountToken"):
        yield "automountServiceAccountToken: may only be false"
    if component.get("timeout", 0) > MAX_TIMEOUT_SECONDS:
        yield f"timeout: above max-revision-timeout-seconds, {MAX_TIMEOUT_SECONDS}"
    mounted = {
        mount["name"]
        for container in pod.get("containers", [])
        for mount in container.get("volumeMounts", [])
    }
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for name, volume in volumes.items():
        sources = {field: value for field, value in volume.items() if field != "name"}
        yield from _flagged(sources, VOLUME_SOURCES, flags, f"volumes.{name}.")
        if name not in mounted:
            yield f"volumes.{name}: not mounted"
    yield from (f"volumeMounts.{name}: no such volume" for name in mounted - set(volumes))
    ports = [port for c in pod.get("containers", []) for port in c.get("ports", [])]
    if len(ports) > 1:
        yield "ports: only one is allowed"
    for container in pod.get("containers", []):
        yield from _container(container, flags)


def _container(container: dict[str, Any], flags: Flags) -> Iterator[str]:
    for field in container.keys() - CONTAINER_FIELDS:
        yield f"{field}: not allowed in a container"
    for variable in container.get("env", []):
        if variable["name"] in RESERVED_ENVIRONMENT:
            yield f"env.{variable['name']}: reserved"
        source = variable.get("valueFrom", {})
        yield from _flagged(source, ENVIRONMENT_SOURCES, flags, f"env.{variable['name']}.")
    for port in container.get("ports", []):
        if port.get("name", "") not in {"", "h2c", "http1"}:
            yield f"ports.{port['name']}: must be h2c or http1"
        if port["containerPort"] in RESERVED_PORTS:
            yield f"ports.{port['containerPort']}: reserved"
    security = container.get("securityContext", {})
    for field in security.keys() - SECURITY_FIELDS:
        yield f"securityContext.{field}: not allowed"
    if security.get("privileged"):
        yield "securityContext.privileged: may only be false"
    added = security.get("capabilities", {}).get("add")
    if added and "kubernetes.containerspec-addcapabilities" not in flags:
        yield "capabilities.add: needs the flag kubernetes.containerspec-addcapabilities"
    declared = [port["containerPort"] for port in container.get("ports", [])]
    for handler in ("httpGet", "tcpSocket"):
        asked = container.get("livenessProbe", {}).get(handler, {}).get("port", 0)
        if asked and [asked] != declared:
            yield f"livenessProbe.{handler}: goes to the declared port, not to {asked}"
    if "httpGet" in container.get("livenessProbe", {}) and _is_grpc(container):
        yield "livenessProbe.httpGet: goes to the declared port, which is gRPC"
    probe = container.get("readinessProbe", {})
    if probe and not probe.get("periodSeconds"):
        for field in ("failureThreshold", "timeoutSeconds"):
            if probe.get(field):
                yield f"readinessProbe.{field}: disallowed without periodSeconds"


def _is_grpc(container: dict[str, Any]) -> bool:
    return any(port.get("name") == "h2c" for port in container.get("ports", []))


def _flagged(
    value: dict[str, Any], fields: dict[str, str | None], flags: Flags, path: str
) -> Iterator[str]:
    for field in value:
        if field not in fields:
            yield f"{path}{field}: never allowed"
        elif (flag := fields[field]) is not None and flag not in flags:
            yield f"{path}{field}: needs the flag {flag}"
