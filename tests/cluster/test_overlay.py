"""An overlay is rendered, applied, waited for and asked; and taken away again."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster import overlay
from cluster.commands import ClusterError
from cluster.overlay import Deployed, Overlay, deploy, render, undeploy
from tests.cluster.api import Document, FakeApi
from tests.cluster.conftest import Tools
from tests.conftest import SHIPPED
from tests.manifests.rendering import kubectl
from tests.rollout.loopback import QuietHandler, served

ANSWER = {"predictions": [{"label": "7", "probability": 0.9, "class_id": 7, "top": []}]}


ACTIVATOR = {"metadata": {"name": "activator-1", "labels": {"app": "activator"}}}
"""Knative's, which starts what is scaled to zero, and knows by two headers what that is."""


def isvc(percent: int | None = None, **status: Any) -> Document:
    """Ready and rolled out, with a transformer for one model."""
    predictor = {"latestCreatedRevision": "p-1", "latestReadyRevision": "p-1"}
    predictor |= {"latestRolledoutRevision": "p-1"}
    traffic = [{"revisionName": "p-1", "percent": 100}]
    return {
        "kind": "InferenceService",
        "metadata": {"name": "vision", "generation": 1},
        "spec": {
            "predictor": {} if percent is None else {"canaryTrafficPercent": percent},
            "transformer": {"containers": [{"args": ["--model=mnist"]}]},
        },
        "status": {
            "url": "http://vision-transformer.vision.example.com",
            "conditions": [{"type": "Ready", "status": "True"}],
            "components": {
                "predictor": {**predictor, "traffic": traffic},
                "transformer": {"latestCreatedRevision": "t-1", "latestReadyRevision": "t-1"},
            },
            **status,
        },
    }


def workload(kind: str, name: str, ready: int = 1) -> Document:
    pods = {"readyReplicas": ready, "updatedReplicas": ready, "numberAvailable": ready}
    pods |= {"updatedNumberScheduled": ready, "desiredNumberScheduled": 1}
    return {
        "kind": kind,
        "metadata": {"name": name, "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"component": name}}},
        "status": {"observedGeneration": 1, **pods},
    }


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(overlay, "ROOT", tmp_path)
    monkeypatch.setattr(overlay, "OVERLAYS", tmp_path / "manifests" / "overlays")
    monkeypatch.setattr(overlay, "BUILD", tmp_path / "build")
    folder = tmp_path / "manifests" / "overlays" / "minikube"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(
        "images: [{name: vision-predictor, newName: dev.local/vision-predictor, newTag: 0.1.0}]"
    )
    return tmp_path / "build"


class Gateway:
    """Answers as it is told, the last answer for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[tuple[int, Any]] = [(200, ANSWER)]
        self.hosts: list[str] = []

    def next(self) -> tuple[int, Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.hosts.append(self.headers["Host"])
            status, answer = found.next()
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with served(Handler) as found.url:
        yield found


def apply(tools: Tools, *documents: Document) -> None:
    """What kustomize renders; the API server is told apart."""
    text = yaml.safe_dump_all([{"kind": "Namespace", "metadata": {"name": "vision"}}, *documents])
    tools.add("kubectl", ("^kustomize", text), ("current-context", "somewhere"))


def test_deploy_applies_what_is_rendered_and_asks_it(
    tools: Tools,
    api: FakeApi,
    build: Path,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    apply(tools, isvc())
    api.put("inferenceservices", isvc())
    gateway.answers = [(503, {"error": "no healthy upstream"}), (200, ANSWER), (200, ANSWER)]
    gateway.answers += [(503, {"error": "no healthy upstream"}), (200, ANSWER)]
    deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED))
    assert f"kubectl apply -f {build / 'minikube.yaml'}" in tools.calls
    printed = capsys.readouterr().out
    assert "applying build/minikube.yaml to somewhere" in printed
    assert "vision is ready: http://vision-transformer.vision.example.com" in printed
    assert "vision: mnist: status 503: no healthy upstream" in printed
    assert "mnist answers right, 5 times in a row" in printed
    assert set(gateway.hosts) == {"vision-transformer.vision.example.com"}
    assert len(gateway.hosts) == 4 + 5


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (503, {"error": "the predictor starts"}, "status 503: the predictor starts"),
        (404, {"error": "model 'mnist' not found"}, "status 404: model 'mnist' not found"),
        (200, {"predictions": []}, "no right answer within 0 s"),
    ],
)
def test_a_service_that_answers_wrong_is_not_deployed(
    tools: Tools,
    api: FakeApi,
    build: Path,
    gateway: Gateway,
    status: int,
    answer: Any,
    told: str,
) -> None:
    apply(tools, isvc())
    api.put("inferenceservices", isvc())
    gateway.answers = [(status, answer)]
    with pytest.raises(ClusterError, match=told):
        deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED, timeout_seconds=0))


@pytest.mark.parametrize(
    ("kind", "plural"),
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")],
)
def test_everything_that_was_applied_is_waited_for(
    tools: Tools,
    api: FakeApi,
    build: Path,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    plural: str,
) -> None:
    """As check, console and edge are, which were in CrashLoopBackOff at "ready"."""
    apply(tools, workload(kind, "console"), isvc())
    api.put("inferenceservices", isvc())
    console = api.put(plural, workload(kind, "console", ready=0))
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    api.put(
        "pods",
        {
            "metadata": {"name": "console-1", "labels": {"component": "console"}},
            "status": {"containerStatuses": [{"name": "console", "state": {"waiting": waiting}}]},
        },
    )
    api.put(
        "events",
        {
            "metadata": {"name": "e"},
            "involvedObject": {"name": "console-1"},
            "type": "Warning",
            "reason": "BackOff",
            "message": "restarting failed container",
        },
    )
    reads = 0

    def mend(asked: str, name: str) -> None:
        nonlocal reads
        reads += (asked, name) == (plural, "console")
        if reads > 3:
            console["status"] = workload(kind, "console")["status"]

    api.on_read = mend
    deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED))
    printed = capsys.readouterr().out
    line = f"{kind} console: 0 of 1 pods ready; console-1: CrashLoopBackOff: back-off 10s"
    assert f"{line} (BackOff: restarting failed container)" in printed
    assert printed.index(f"{kind} console is ready") < printed.index("vision is deployed")


def test_a_container_s_last_words_are_said_instead_of_that_it_starts_again(
    tools: Tools,
    api: FakeApi,
    build: Path,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of the console, which refused its settings, and was said to be in CrashLoopBackOff."""
    apply(tools, workload("Deployment", "console"))
    api.put("deployments", workload("Deployment", "console", ready=0))
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    status = {"name": "console", "restartCount": 1, "state": state}
    status["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
    labels = {"component": "console"}
    pod = {"name": "console-1", "labels": labels}
    api.put("pods", {"metadata": pod, "status": {"containerStatuses": [status]}})
    api.logs["console-1"] = '{"level": "ERROR", "message": "the URL must begin with https://"}\n'
    with pytest.raises(ClusterError, match="last lines of console"):
        deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED, timeout_seconds=3))
    assert "console-1: CrashLoopBackOff: the URL must begin with" in capsys.readouterr().out


def test_a_job_that_has_ended_is_run_anew(
    tools: Tools, api: FakeApi, build: Path, gateway: Gateway
) -> None:
    """Its template cannot be changed: a second deployment with other settings was refused."""
    job = {"kind": "Job", "metadata": {"name": "migrate"}, "spec": {}}
    apply(tools, job)
    api.put("jobs", {**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED))
    assert not api.objects
    api.put("jobs", {**job, "status": {}})
    with pytest.raises(ClusterError, match="not complete"):
        deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED, timeout_seconds=0))
    assert api.objects


def test_a_job_that_fails_ends_it(tools: Tools, api: FakeApi, build: Path) -> None:
    job = {"kind": "Job", "metadata": {"name": "migrate"}, "spec": {}}
    apply(tools, job)
    running = api.put("jobs", {**job, "status": {}})
    failed = {"conditions": [{"type": "Failed", "status": "True"}]}
    reads: list[str] = []

    def fail(plural: str, name: str) -> None:
        reads.append(name)
        if reads.count("migrate") > 1:
            running["status"] = failed

    api.on_read = fail
    ended = {"exitCode": 1, "reason": "Error", "message": "no database"}
    api.put(
        "pods",
        {
            "metadata": {"name": "m-1", "labels": {"batch.kubernetes.io/job-name": "migrate"}},
            "status": {"containerStatuses": [{"name": "migrate", "state": {"terminated": ended}}]},
        },
    )
    with pytest.raises(ClusterError, match=r"Job migrate failed: Error \(exit status 1\)"):
        deploy(Overlay("minikube"))


def test_a_split_stays_and_is_told_or_ends_by_force(
    tools: Tools, api: FakeApi, build: Path, gateway: Gateway
) -> None:
    apply(tools, isvc())
    found = api.put("inferenceservices", isvc(percent=50))
    with pytest.raises(ClusterError, match="deployed under a split: 50 %"):
        deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED))
    assert found["spec"]["predictor"] == {"canaryTrafficPercent": 50}
    deploy(Overlay("minikube"), Deployed(gateway.url, SHIPPED, force=True))
    assert found["spec"]["predictor"] == {}


def test_behind_accounts_the_pods_are_asked(
    tools: Tools, api: FakeApi, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = isvc()
    hidden["spec"]["transformer"]["labels"] = {"networking.knative.dev/visibility": "cluster-local"}
    apply(tools, hidden)
    api.put("inferenceservices", hidden)
    api.put("pods", ACTIVATOR)
    api.put("pods", {"metadata": {"name": "edge-1", "labels": {"component": "edge"}}})
    api.pods["/v1/models/mnist:predict"] = (200, json.dumps(ANSWER))
    with pytest.raises(ClusterError, match="no such path"):
        deploy(Overlay("minikube"), Deployed("", SHIPPED, timeout_seconds=0))
    api.pods["/-/ready"] = (200, "{}")
    deploy(Overlay("minikube"), Deployed("", SHIPPED))
    assert "mnist answers right" in capsys.readouterr().out
    activator = "/api/v1/namespaces/knative-serving/pods/activator-1:8012"
    assert f"POST {activator}/proxy/v1/models/mnist:predict" in api.asked
    assert api.headers["Knative-Serving-Revision"] == "t-1"
    assert api.headers["Knative-Serving-Namespace"] == "vision"


def test_a_gateway_that_leads_nowhere_is_told_and_the_pods_are_asked(
    tools: Tools, api: FakeApi, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a node's address on a Mac, where minikube's nodes are containers."""
    apply(tools, isvc())
    api.put("inferenceservices", isvc())
    api.put("pods", ACTIVATOR)
    api.pods["/v1/models/mnist:predict"] = (200, json.dumps(ANSWER))
    for address in ("http://127.0.0.1:9", ""):
        deploy(Overlay("minikube"), Deployed(address, SHIPPED))
        printed = capsys.readouterr().out
        assert "the gateway cannot be reached from here" in printed
        assert "mnist answers right" in printed


def test_a_mask_comes_back_from_a_pod_as_it_is(
    tools: Tools, api: FakeApi, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = isvc()
    found["spec"]["transformer"]["containers"][0]["args"] = ["--model=land-cover"]
    apply(tools, found)
    api.put("inferenceservices", found)
    api.put("pods", ACTIVATOR)
    mask = io.BytesIO()
    np.save(mask, np.arange(256, dtype=np.uint8).reshape(16, 16))
    api.pods["/v1/models/land-cover:predict"] = (200, mask.getvalue())
    deploy(Overlay("minikube"), Deployed("http://127.0.0.1:9", SHIPPED))
    assert "land-cover answers right" in capsys.readouterr().out


def test_a_model_whose_card_is_not_here_is_not_asked(
    tools: Tools,
    api: FakeApi,
    build: Path,
    small_root: Path,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    apply(tools, isvc())
    other = api.put("inferenceservices", isvc())
    other["spec"]["transformer"]["containers"][0]["args"] = ["--model=flowers"]
    deploy(Overlay("minikube"), Deployed(gateway.url, small_root))
    assert "flowers was not asked" in capsys.readouterr().out
    assert gateway.hosts == []


def test_undeploy_takes_the_same_away(tools: Tools, build: Path) -> None:
    apply(tools)
    undeploy(Overlay("minikube"))
    assert tools.calls[-1] == f"kubectl delete --ignore-not-found -f {build / 'minikube.yaml'}"


def test_an_overlay_that_is_not_there(tools: Tools, build: Path) -> None:
    with pytest.raises(ClusterError, match="overlay 'mini' not found; available: minikube"):
        render(Overlay("mini"))


def test_other_images_by_kustomize_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(Path(kubectl()).parent))
    monkeypatch.setattr(overlay, "BUILD", overlay.ROOT / "build" / tmp_path.name)
    path = render(Overlay("minikube", "registry.example.com/team", "7"))
    images = [
        container["image"]
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] == "InferenceService"
        for part in ("predictor", "transformer")
        for container in document["spec"][part]["containers"]
    ]
    assert images == [
        "registry.example.com/team/vision-predictor:7",
        "registry.example.com/team/vision-transformer:7",
    ]
