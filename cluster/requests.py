"""What the platform's pods ask of a node, before any of the service's own.

Read in the manifests of the pinned releases (and of minikube's kubeadm and Calico). On four
processors it all fits beside the service and a canary; on two it does not, and the requests of
what is not Kubernetes itself are lowered: requests only divide processor time when it is scarce.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One pod's requests.

    Attributes:
        resource: ``kind/name`` for kubectl; empty for static pods, which nothing can change.
        lowered_millicpu: on two processors; None where it stays.
    """

    name: str
    namespace: str
    resource: str
    millicpu: int
    mebibytes: int
    lowered_millicpu: int | None = None


PLATFORM = (
    Workload("kube-apiserver", "kube-system", "", 250, 0),
    Workload("kube-controller-manager", "kube-system", "", 200, 0),
    Workload("kube-scheduler", "kube-system", "", 100, 0),
    Workload("etcd", "kube-system", "", 100, 100),
    Workload("coredns", "kube-system", "deployment/coredns", 100, 70, 50),
    Workload("calico-node", "kube-system", "daemonset/calico-node", 250, 0, 50),
    Workload("activator", "knative-serving", "deployment/activator", 300, 60, 25),
    Workload("autoscaler", "knative-serving", "deployment/autoscaler", 100, 100, 25),
    Workload("controller", "knative-serving", "deployment/controller", 100, 100, 25),
    Workload("webhook", "knative-serving", "deployment/webhook", 100, 100, 25),
    Workload(
        "net-kourier-controller",
        "knative-serving",
        "deployment/net-kourier-controller",
        200,
        200,
        25,
    ),
    Workload(
        "3scale-kourier-gateway",
        "kourier-system",
        "deployment/3scale-kourier-gateway",
        200,
        200,
        50,
    ),
    Workload(
        "kserve-controller-manager",
        "kserve",
        "deployment/kserve-controller-manager",
        100,
        200,
        25,
    ),
)

QUEUE_PROXY_MILLICPU = 25
"""Knative's side-car, in every pod of the service."""

SMALL_NODE_CPUS = 2


def platform_millicpu(cpus: int) -> int:
    """All of it together, on a node of that many processors."""
    if cpus > SMALL_NODE_CPUS:
        return sum(workload.millicpu for workload in PLATFORM)
    return sum(
        workload.millicpu if workload.lowered_millicpu is None else workload.lowered_millicpu
        for workload in PLATFORM
    )
