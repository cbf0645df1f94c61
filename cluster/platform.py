"""minikube with cert-manager, Knative Serving behind Kourier, and KServe: ``make cluster``.

Every step can be done again on what is already there.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from cluster.commands import ClusterError, dotted, installed, read, run, run_again, version
from cluster.pinned import manifest
from cluster.requests import PLATFORM, SMALL_NODE_CPUS, platform_millicpu
from cluster.versions import (
    CERT_MANAGER,
    KNATIVE,
    KOURIER,
    KSERVE,
    KUBECTL,
    KUBERNETES,
    MINIKUBE,
    Release,
)

FEATURES = {
    "kubernetes.podspec-affinity": "enabled",
    "kubernetes.podspec-nodeselector": "enabled",
    "kubernetes.podspec-tolerations": "enabled",
    "kubernetes.podspec-topologyspreadconstraints": "enabled",
}
"""config-features flags that the manifests' components need; the base needs none."""

UNUSED_CONTROLLERS = ("llmisvc-controller-manager", "kserve-localmodel-controller-manager")
"""Language models and caches on nodes: not used here, and each asks for a tenth of a processor."""

DOMAIN = "example.com"

NETWORK = {
    "ingress-class": "kourier.ingress.networking.knative.dev",
    # There is no mesh. Where Knative's activator may think that there is one, it stops asking a
    # starting pod itself once that has gone wrong, and waits for the kubelet's next probe: a wake
    # takes ten seconds longer, now and then, for as long as the Knative revision lives.
    "mesh-compatibility-mode": "disabled",
}
"""config-network: the way in, and that pods are reached directly."""

OBSERVABILITY = {"metrics-protocol": "prometheus", "request-metrics-protocol": "prometheus"}
"""config-observability: metrics of Knative itself, and of requests in every queue-proxy, which are
off from 1.19 on."""

CONTAINER_DRIVERS = ("docker", "podman")
MACHINE_DRIVERS = {"kvm2": "virsh", "qemu2": "qemu-system-x86_64", "vfkit": "vfkit"}


@dataclass(frozen=True)
class Profile:
    """A minikube cluster."""

    name: str = "vision"
    cpus: int = 4
    memory: str = "6g"
    driver: str = ""


def create(profile: Profile) -> None:
    """From nothing to a cluster that takes the service's manifests."""
    check_tools(profile.driver)
    start(profile)
    install_platform()
    if profile.cpus <= SMALL_NODE_CPUS:
        lower_requests()
    step("ready; next: make images deploy predict-cluster")


def install_platform() -> None:
    """What the service stands on, in the cluster of KUBECONFIG."""
    install(CERT_MANAGER)
    install(KNATIVE)
    install(KOURIER)
    configure_knative()
    install(KSERVE)
    configure_kserve()


def delete(profile: Profile) -> None:
    run("minikube", "delete", "--profile", profile.name, quiet=False)


def step(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def check_tools(driver: str) -> None:
    """All that is missing, in one message.

    Raises:
        ClusterError: a tool is missing or too old.
    """
    missing = []
    for name, oldest, command, where in (
        (
            "minikube",
            MINIKUBE,
            ("minikube", "version", "--short"),
            "https://minikube.sigs.k8s.io/docs/start",
        ),
        (
            "kubectl",
            KUBECTL,
            ("kubectl", "version", "--client"),
            "https://kubernetes.io/docs/tasks/tools",
        ),
    ):
        if not installed(name):
            missing.append(f"{name} {dotted(oldest)} or newer is not installed: {where}")
        elif (found := version(run(*command))) < oldest:
            missing.append(
                f"{name} is {dotted(found)}; {dotted(oldest)} or newer is needed: {where}"
            )
    machine = any(map(installed, MACHINE_DRIVERS.values()))
    if not (driver or machine or any(map(_answers, CONTAINER_DRIVERS))):
        missing.append(
            "neither Docker nor Podman answers, and there is no virtual machine driver: start one "
            "of them, or name minikube's driver, DRIVER=…"
        )
    if missing:
        raise ClusterError("\n".join(missing))


def _answers(container_tool: str) -> bool:
    if not installed(container_tool):
        return False
    try:
        run(container_tool, "info")
    except ClusterError:
        return False
    return True


def start(profile: Profile) -> None:
    """A node whose network enforces policies, and kubectl's context set to it."""
    step(f"minikube, profile {profile.name}: {profile.cpus} CPUs, {profile.memory}")
    driver = ("--driver", profile.driver) if profile.driver else ()
    run(
        *("minikube", "start", "--profile", profile.name),
        *("--cpus", str(profile.cpus), "--memory", profile.memory),
        *("--kubernetes-version", KUBERNETES, "--cni", "calico", *driver),
        quiet=False,
    )


def install(release: Release) -> None:
    """Apply a release's manifests, as they are pinned, and wait until it is available."""
    step(f"{release.name} {release.version}")
    if not run("kubectl", "get", "namespace", release.namespace, "--ignore-not-found"):
        run("kubectl", "create", "namespace", release.namespace)
    for url in release.manifests:
        path, note = manifest(url)
        if note:
            print(f"    {path.name}: {note}", flush=True)
        # Server-side: KServe's definitions are too large for the annotation of the other way.
        run_again("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(path))
        if url.endswith("-crds.yaml"):
            run("kubectl", "wait", "--for=condition=Established", "--timeout=60s", "-f", str(path))
    if release is KSERVE:
        for name in UNUSED_CONTROLLERS:
            scale = ("kubectl", "-n", release.namespace, "scale", "--replicas=0")
            run(*scale, f"deployment/{name}")
    wait_available(release.namespace)


def wait_available(namespace: str, timeout_seconds: int = 600) -> None:
    """Until every deployment of a namespace has the replicas that it wants.

    Raises:
        ClusterError: not in time; with the pods that are not running.
    """
    deadline = time.monotonic() + timeout_seconds
    said = ""
    while True:
        items = read("kubectl", "-n", namespace, "get", "deployments", "-o", "json")["items"]
        waiting = sorted(
            item["metadata"]["name"]
            for item in items
            if item["status"].get("availableReplicas", 0) < item["spec"]["replicas"]
            or item["status"].get("observedGeneration", 0) < item["metadata"]["generation"]
        )
        if items and not waiting:
            return
        if time.monotonic() > deadline:
            pods = run("kubectl", "-n", namespace, "get", "pods")
            raise ClusterError(f"{namespace}: not available: {', '.join(waiting)}\n{pods}")
        if (line := ", ".join(waiting)) != said:
            said = line
            print(f"    waiting for {line or 'deployments'}", flush=True)
        time.sleep(2)


def configure_knative() -> None:
    """Kourier as the way in, a domain that it serves, and the flags of the components."""
    step("Knative's settings")
    for name, data in (
        ("config-network", NETWORK),
        ("config-domain", {DOMAIN: ""}),
        ("config-features", FEATURES),
        ("config-observability", OBSERVABILITY),
    ):
        patch_configmap("knative-serving", name, data)


def configure_kserve() -> None:
    """Knative's own hosts in place of Istio's, which is not there."""
    step("KServe's settings")
    settings = read(
        *("kubectl", "-n", "kserve", "get", "configmap", "inferenceservice-config"), "-o", "json"
    )["data"]
    ingress = json.loads(settings["ingress"])
    deploy = json.loads(settings["deploy"])
    patch_configmap(
        "kserve",
        "inferenceservice-config",
        {
            "ingress": json.dumps(
                {**ingress, "disableIstioVirtualHost": True, "ingressDomain": DOMAIN}
            ),
            "deploy": json.dumps({**deploy, "defaultDeploymentMode": "Knative"}),
        },
    )
    # The controller decides at its start whether it watches Istio's objects.
    run("kubectl", "-n", "kserve", "rollout", "restart", "deployment/kserve-controller-manager")
    run(
        *("kubectl", "-n", "kserve", "rollout", "status", "--timeout=300s"),
        "deployment/kserve-controller-manager",
    )


def patch_configmap(namespace: str, name: str, data: dict[str, str]) -> None:
    patch = json.dumps({"data": data})
    run_again(
        *("kubectl", "-n", namespace, "patch", "configmap", name),
        *("--type=merge", "--patch", patch),
    )


def lower_requests() -> None:
    """Room for the service on two processors."""
    before, after = platform_millicpu(4), platform_millicpu(SMALL_NODE_CPUS)
    step(f"two CPUs: the platform's requests go from {before}m to {after}m")
    for workload in PLATFORM:
        if workload.lowered_millicpu is not None:
            run(
                *("kubectl", "-n", workload.namespace, "set", "resources", workload.resource),
                f"--requests=cpu={workload.lowered_millicpu}m",
            )
    for namespace in sorted({workload.namespace for workload in PLATFORM}):
        wait_available(namespace)
