from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cluster.commands import ClusterError
from cluster.pinned import manifest
from cluster.platform import (
    FEATURES,
    Profile,
    check_tools,
    configure_kserve,
    create,
    install,
    wait_available,
)
from cluster.versions import CERT_MANAGER, KNATIVE, KOURIER, KSERVE, KUBERNETES
from tests.cluster.conftest import Tools
from tests.manifests.test_overlays import COMPONENTS, declared_flags

AVAILABLE = json.dumps(
    {
        "items": [
            {
                "metadata": {"name": "controller", "generation": 2},
                "spec": {"replicas": 1},
                "status": {"availableReplicas": 1, "observedGeneration": 2},
            }
        ]
    }
)

SETTINGS = json.dumps(
    {
        "data": {
            "ingress": json.dumps({"ingressDomain": "x", "urlScheme": "http"}),
            "deploy": json.dumps({"defaultDeploymentMode": "Serverless"}),
        }
    }
)


@pytest.fixture
def machine(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Everything is there and works."""
    monkeypatch.setattr("cluster.pinned.download", lambda url: url.encode())
    monkeypatch.setattr(
        "cluster.platform.manifest", lambda url: manifest(url, tmp_path / "lock", tmp_path)
    )
    tools.add("minikube", ("^version", "v1.38.1"))
    tools.add(
        "kubectl",
        ("^version", "Client Version: v1.34.2"),
        ("get deployments", AVAILABLE),
        ("get configmap inferenceservice-config", SETTINGS),
    )
    tools.add("docker", ("info", ""))
    return tools


def test_from_nothing_in_this_order(machine: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    create(Profile())
    calls = "\n".join(machine.calls)
    expected = [
        f"minikube start --profile vision --cpus 4 --memory 6g .*{KUBERNETES} --cni calico$",
        "apply --server-side .*cert-manager/releases/download/v1.17.0/",
        "apply --server-side .*knative-v1.21.1/serving-crds.yaml",
        "wait --for=condition=Established",
        "apply --server-side .*knative-v1.21.1/serving-core.yaml",
        "apply --server-side .*net-kourier/releases/download/knative-v1.21.0/",
        'patch configmap config-network .*"ingress-class": "kourier.*"mesh-comp.*: "disabled',
        "patch configmap config-domain",
        "patch configmap config-features",
        'patch configmap config-observability .*"request-metrics-protocol": "prometheus"',
        "apply --server-side .*kserve/releases/download/v0.21.0/kserve.yaml",
        "scale --replicas=0 deployment/llmisvc-controller-manager",
        "patch configmap inferenceservice-config",
        "rollout restart deployment/kserve-controller-manager",
    ]
    position = 0
    for pattern in expected:
        found = re.compile(pattern, re.MULTILINE).search(calls, position)
        assert found, f"{pattern} is missing, or not after what goes before it"
        position = found.end()
    assert "set resources" not in calls
    printed = capsys.readouterr().out
    for name in ("cert-manager v1.17.0", "Knative Serving 1.21.1", "Kourier", "KServe v0.21.0"):
        assert name in printed
    assert "make images deploy predict-cluster" in printed


def test_again_does_the_same(machine: Tools) -> None:
    create(Profile())
    first = machine.calls
    machine.forget()
    machine.add("kubectl", ("get namespace", "namespace/there"))
    create(Profile())
    created = [call for call in first if " create namespace " in call]
    assert len(created) == 4
    assert machine.calls == [call for call in first if call not in created]


def test_two_processors_lower_the_platforms_requests(
    machine: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    create(Profile(cpus=2, memory="5g", driver="docker"))
    calls = machine.calls
    (started,) = (call for call in calls if "minikube start" in call)
    assert "--cpus 2 --memory 5g" in started
    assert started.endswith("--driver docker")
    lowered = [call for call in calls if "set resources" in call]
    assert "kubectl -n knative-serving set resources deployment/activator --requests=cpu=25m" in (
        lowered
    )
    assert "kubectl -n kube-system set resources daemonset/calico-node --requests=cpu=50m" in (
        lowered
    )
    assert re.search(r"two CPUs: .* from \d+m to \d+m", capsys.readouterr().out)


def test_all_that_is_missing_is_said_at_once(tools: Tools) -> None:
    with pytest.raises(ClusterError) as caught:
        check_tools("")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("minikube 1.38 or newer is not installed: https://")
    assert lines[1].startswith("kubectl 1.33 or newer is not installed: https://")
    assert "neither Docker nor Podman answers" in lines[2]


def test_tools_that_are_too_old(machine: Tools) -> None:
    machine.add("minikube", ("^version", "v1.30.0"))
    machine.add("kubectl", ("^version", "Client Version: v1.32.9\nKustomize Version: v5.5.0"))
    with pytest.raises(ClusterError) as caught:
        check_tools("")
    first, second = str(caught.value).splitlines()
    assert first.startswith("minikube is 1.30.0; 1.38 or newer is needed")
    assert second.startswith("kubectl is 1.32.9; 1.33 or newer is needed")


def test_a_docker_that_does_not_answer_is_no_driver(machine: Tools) -> None:
    machine.add("docker", ("info", "cannot connect", 1))
    with pytest.raises(ClusterError, match="neither Docker nor Podman answers"):
        check_tools("")
    check_tools("kvm2")  # the person knows
    machine.add("virsh")
    check_tools("")


def test_what_fails_while_a_webhook_starts_is_tried_again(
    machine: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.add("kubectl", ("apply", "failed calling webhook: connection refused", 1))
    with pytest.raises(ClusterError, match="status 1\nfailed calling webhook"):
        install(CERT_MANAGER)
    assert len([call for call in machine.calls if " apply " in call]) == 6
    assert "not yet (failed calling webhook: connection refused)" in capsys.readouterr().out


def test_a_manifest_that_is_not_as_pinned_reaches_no_cluster(
    machine: Tools, tmp_path: Path
) -> None:
    (tmp_path / "lock").write_text(f"{'0' * 64}  {CERT_MANAGER.manifests[0]}\n")
    with pytest.raises(ClusterError, match="Nothing of it was applied"):
        install(CERT_MANAGER)
    assert not [call for call in machine.calls if " apply " in call]


def test_waiting_ends_with_the_pods_that_do_not_run(machine: Tools) -> None:
    stuck = json.loads(AVAILABLE)
    stuck["items"][0]["status"]["availableReplicas"] = 0
    machine.add(
        "kubectl",
        ("get deployments", json.dumps(stuck)),
        ("get pods", "controller-0  ImagePullBackOff"),
    )
    with pytest.raises(ClusterError, match="not available: controller\ncontroller-0  ImagePull"):
        wait_available("knative-serving", timeout_seconds=0)


def test_kserves_other_settings_are_kept(machine: Tools) -> None:
    configure_kserve()
    (patched,) = (call for call in machine.calls if "patch configmap" in call)
    data = json.loads(patched.partition("--patch ")[2])["data"]
    assert json.loads(data["ingress"]) == {
        "ingressDomain": "example.com",
        "urlScheme": "http",
        "disableIstioVirtualHost": True,
    }
    assert json.loads(data["deploy"]) == {"defaultDeploymentMode": "Knative"}


def test_the_cluster_has_every_flag_that_a_component_asks_for() -> None:
    assert set(FEATURES) == declared_flags(COMPONENTS)
    assert set(FEATURES.values()) == {"enabled"}


def test_manifests_are_of_the_versions_that_are_said() -> None:
    for release in (CERT_MANAGER, KNATIVE, KOURIER, KSERVE):
        for url in release.manifests:
            assert url.startswith("https://github.com/")
            assert release.version.removeprefix("v") in url
