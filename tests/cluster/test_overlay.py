from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import overlay
from cluster.commands import ClusterError
from cluster.overlay import Overlay, deploy, render, undeploy, wait_ready, waiting_for
from tests.cluster.conftest import Tools
from tests.manifests.rendering import kubectl

READY: dict[str, Any] = {
    "status": {
        "url": "http://vision-transformer.vision.example.com",
        "conditions": [{"type": "Ready", "status": "True"}],
        "components": {
            "predictor": {"latestCreatedRevision": "p-1", "latestReadyRevision": "p-1"},
        },
    }
}

DOCUMENTS = "kind: Namespace\n---\nkind: InferenceService\nmetadata: {name: vision}\n"


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


def test_deploy_applies_what_is_rendered_and_waits(
    tools: Tools, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add(
        "kubectl",
        ("^kustomize", DOCUMENTS),
        ("get inferenceservice vision", json.dumps(READY)),
        ("current-context", "somewhere"),
    )
    deploy(Overlay("minikube"))
    assert (build / "minikube.yaml").read_text().strip() == DOCUMENTS.strip()
    assert f"kubectl apply -f {build / 'minikube.yaml'}" in tools.calls
    printed = capsys.readouterr().out
    assert "applying build/minikube.yaml to somewhere" in printed
    assert "vision is ready: http://vision-transformer.vision.example.com" in printed


def test_undeploy_takes_the_same_away(tools: Tools, build: Path) -> None:
    tools.add("kubectl", ("^kustomize", DOCUMENTS))
    undeploy(Overlay("minikube"))
    assert tools.calls[-1] == f"kubectl delete --ignore-not-found -f {build / 'minikube.yaml'}"


def test_an_overlay_that_is_not_there(tools: Tools, build: Path) -> None:
    with pytest.raises(ClusterError, match="there is no overlay 'mini'; there are: minikube"):
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


def conditions(**status: tuple[str, str]) -> dict[str, Any]:
    items = [
        {"type": name, "status": value, "message": message}
        for name, (value, message) in status.items()
    ]
    return {"status": {**READY["status"], "conditions": items}}


def test_what_it_waits_for() -> None:
    assert waiting_for(READY) == []
    assert waiting_for({}) == ["KServe has not looked at it yet"]
    assert waiting_for(
        conditions(
            Ready=("False", "no"),
            PredictorReady=("False", "Revision failed: image pull"),
            TransformerReady=("Unknown", ""),
            RoutesReady=("True", ""),
        )
    ) == ["PredictorReady: Revision failed: image pull", "TransformerReady: Unknown"]


def test_ready_for_an_older_spec_is_not_ready() -> None:
    isvc = conditions(Ready=("True", ""))
    isvc["status"]["components"] = {
        "predictor": {"latestCreatedRevision": "p-2", "latestReadyRevision": "p-1"}
    }
    assert waiting_for(isvc) == ["predictor: p-2 is not ready"]


def test_giving_up_says_why(tools: Tools) -> None:
    isvc = conditions(Ready=("False", ""), PredictorReady=("False", "no image"))
    tools.add(
        "kubectl",
        ("get inferenceservice", json.dumps(isvc)),
        ("get pods", "vision-predictor-1  ErrImagePull"),
    )
    with pytest.raises(ClusterError, match="PredictorReady: no image\nvision-predictor-1  ErrIm"):
        wait_ready("vision", 0)
