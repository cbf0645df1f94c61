"""Documents against the types of KServe's and Kubernetes' own Python clients.

Strict where both servers are lenient: an unknown field is an error, as with ``kubectl apply
--validate=strict`` against a cluster that has the definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kserve.models
import kubernetes.client.models

KINDS = {
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"): "V1alpha1ClusterServingRuntime",
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): "V1alpha1ServingRuntime",
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("v1", "Service"): "V1Service",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("apps/v1", "StatefulSet"): "V1StatefulSet",
    ("batch/v1", "CronJob"): "V1CronJob",
    ("batch/v1", "Job"): "V1Job",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "V1ClusterRole",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "V1ClusterRoleBinding",
    ("rbac.authorization.k8s.io/v1", "Role"): "V1Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "V1RoleBinding",
}

UNTYPED = {
    ("cert-manager.io/v1", "Certificate"): (
        *("commonName", "dnsNames", "duration", "isCA", "issuerRef", "privateKey", "renewBefore"),
        "secretName",
    ),
    ("cert-manager.io/v1", "Issuer"): ("acme", "ca", "selfSigned"),
    ("cert-manager.io/v1", "ClusterIssuer"): ("acme", "ca", "selfSigned"),
    ("eventing.knative.dev/v1", "Trigger"): ("broker", "filter", "filters", "subscriber"),
    ("monitoring.coreos.com/v1", "PodMonitor"): (
        *("namespaceSelector", "podMetricsEndpoints", "podTargetLabels", "selector"),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): ("groups",),
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): (
        *("inhibitRules", "muteTimeIntervals", "receivers", "route"),
    ),
}
"""Kinds that neither client knows: the fields that their spec may have."""

QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi)?$")

SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "datetime": (str,),
}

FREE = {"object"}
"""A type of the clients that tells nothing: int-or-string and raw JSON."""


def faults(document: dict[str, Any]) -> list[str]:
    """What is wrong, each with its path; empty for a valid document."""
    kind = (document.get("apiVersion", ""), document.get("kind", ""))
    if kind in UNTYPED:
        return [
            f"spec.{name}: no such field" for name in set(document["spec"]) - set(UNTYPED[kind])
        ]
    if kind not in KINDS:
        return [f"{kind}: not a kind that is deployed here"]
    return list(_value(document, KINDS[kind], kind[1]))


def _value(value: Any, expected: str, path: str) -> Iterator[str]:
    if expected in FREE:
        return
    if of_list := re.fullmatch(r"[Ll]ist\[(.+)\]", expected):
        if not isinstance(value, list):
            yield f"{path}: {value!r} is not a list"
            return
        for index, item in enumerate(value):
            yield from _value(item, of_list[1], f"{path}[{index}]")
    elif of_mapping := re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", expected):
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is not a mapping"
            return
        inner = of_mapping[1]
        quantity = path.endswith((".limits", ".requests"))
        for key, item in value.items():
            kind = "ResourceQuantity" if quantity else inner
            yield from _value(item, kind, f"{path}.{key}")
    elif expected == "ResourceQuantity":
        if not (isinstance(value, str) and QUANTITY.match(value)):
            yield f"{path}: {value!r} is not a quantity"
    elif expected in SCALARS:
        right = isinstance(value, SCALARS[expected])
        if not right or (expected != "bool" and isinstance(value, bool)):
            yield f"{path}: {value!r} is not of type {expected}"
    else:
        yield from _object(value, expected, path)


def _object(value: Any, expected: str, path: str) -> Iterator[str]:
    # KServe's client gives some of Kubernetes' types the names of their OpenAPI definitions.
    name = re.sub(r"^K8sIoApi[A-Z][a-z]+(?=V\d)", "", expected)
    model = getattr(kserve.models, name, None) or getattr(kubernetes.client.models, name, None)
    assert model is not None, f"{path}: neither client has a type {expected}"
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not a {expected}"
        return
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        if key not in names:
            yield f"{path}.{key}: {expected} has no such field"
        else:
            yield from _value(item, model.openapi_types[names[key]], f"{path}.{key}")
    for name in required(model):
        if model.attribute_map[name] not in value:
            yield f"{path}: {expected} needs {model.attribute_map[name]}"


def required(model: Any) -> list[str]:
    """Fields without which the client refuses to make the object."""
    fields = getattr(model, "model_fields", None)
    if fields is None:  # kserve's classes take everything as optional but refuse None
        return []
    return [name for name, field in fields.items() if field.is_required()]
