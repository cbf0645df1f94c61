"""Models of one's own on a cluster, with no file edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import own_overlay
from cluster.__main__ import main
from cluster.commands import ClusterError
from cluster.gateway import models_of
from cluster.overlay import OVERLAYS, Overlay
from cluster.own_overlay import revisions_to_serve, write_overlay, write_pods_overlay
from rollout.inferenceservice import held_models
from rollout.revision_file import RevisionFile
from tests.conftest import write_small
from tests.manifests.rendering import kubectl
from tests.manifests.schema import faults

NAME = "of-a-test"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Overlays whose relative paths lead to the same manifests."""
    folder = tmp_path / "manifests" / "overlays"
    folder.mkdir(parents=True)
    for other in OVERLAYS.parent.iterdir():
        if other.name != "overlays":
            (folder.parent / other.name).symlink_to(other)
    monkeypatch.setattr(own_overlay, "OVERLAYS", folder)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_small(tmp_path / "models", "flowers", "1", 0)
    write_small(tmp_path / "models", "flowers", "2", 1)
    write_small(tmp_path / "models", "mnist", "1", 0)
    return tmp_path / "models"


def arguments(service: dict[str, Any], server: str) -> list[str]:
    (container,) = service["spec"][server]["containers"]
    return [a for a in container["args"] if a.startswith("--model=")]


def rendered(folder: Path) -> dict[str, Any]:
    """The InferenceService, as kubectl makes it of real folders."""
    anywhere = "--load-restrictor=LoadRestrictionsNone"
    text = own_overlay.run("kubectl", "kustomize", anywhere, str(folder))
    documents = [d for d in yaml.safe_load_all(text) if d]
    (service,) = [d for d in documents if d["kind"] == "InferenceService"]
    assert not any(d["metadata"]["name"].endswith("revisions") for d in documents)
    return service


@pytest.mark.parametrize("base", ["minikube", "production"])
def test_an_overlay_serves_exactly_the_models_that_are_named(
    base: str, beside: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(kubectl()).parent}:/usr/bin:/bin")
    revisions = revisions_to_serve(models, ["flowers", "mnist=1"])
    assert revisions == {"flowers": "2", "mnist": "1"}
    folder = write_overlay(NAME, Overlay(base), revisions)
    service = rendered(folder)
    assert arguments(service, "predictor") == ["--model=flowers=2", "--model=mnist=1"]
    assert arguments(service, "transformer") == ["--model=flowers", "--model=mnist"]
    (container,) = service["spec"]["transformer"]["containers"]
    assert "--predictor_protocol=v2" in container["args"]
    # What `make promote` writes is what the next deployment asks for.
    (file,) = RevisionFile.open_all(folder)
    assert file.models == revisions
    file.with_models({"flowers": "1"}).write()
    assert arguments(rendered(folder), "predictor") == ["--model=flowers=1", "--model=mnist=1"]


def test_an_overlay_is_not_written_twice(beside: Path) -> None:
    (beside / NAME).mkdir()
    with pytest.raises(ClusterError, match="is there already"):
        write_overlay(NAME, Overlay("minikube"), {"flowers": "1"})


def test_a_model_that_is_not_there(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overlay", NAME, "roses", "--models", str(models)]) == 1
    assert "available: flowers, mnist" in capsys.readouterr().err
    assert main(["overlay", NAME, "flowers=7", "--models", str(models)]) == 1
    assert not (OVERLAYS / NAME).exists()


def pods(folder: Path) -> list[dict[str, Any]]:
    anywhere = "--load-restrictor=LoadRestrictionsNone"
    text = own_overlay.run("kubectl", "kustomize", anywhere, str(folder))
    return [d for d in yaml.safe_load_all(text) if d]


@pytest.mark.parametrize(
    ("store", "uri"),
    [
        ("s3://bucket/models", "s3://bucket/models/flowers/2"),
        ("gs://bucket/models/", "gs://bucket/models/flowers/2"),
        ("pvc://claim", "pvc://claim/flowers/2"),
        ("hf://us", "hf://us/flowers:2"),
        ("oci://registry:5000/vision", "oci://registry:5000/vision/flowers:2"),
    ],
)
def test_one_pod_of_each_model_from_a_store(
    store: str, uri: str, beside: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(kubectl()).parent}:/usr/bin:/bin")
    revisions = revisions_to_serve(models, ["flowers", "mnist=1"])
    folder = write_pods_overlay(NAME, Overlay("production"), revisions, store)
    documents = pods(folder)
    assert [fault for document in documents for fault in faults(document)] == []
    assert {d["metadata"].get("namespace", "vision") for d in documents} == {"vision"}
    services = {d["metadata"]["name"]: d for d in documents if d["kind"] == "InferenceService"}
    assert sorted(services) == ["flowers", "mnist"]
    predictor = services["flowers"]["spec"]["predictor"]
    assert predictor["model"] == {"modelFormat": {"name": "vision"}, "storageUri": uri}
    assert held_models(predictor) == {"flowers": "2"}
    assert models_of(services["flowers"]) == ["flowers"]
    (runtime,) = [d for d in documents if d["kind"] == "ServingRuntime"]
    assert {c["image"] for c in runtime["spec"]["containers"]} == {
        f"registry.example.com/vision/vision-{server}:0.1.0" for server in own_overlay.SERVERS
    }
    assert RevisionFile.open_all(folder) == []


def test_a_store_that_kserve_does_not_know(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["overlay", NAME, "flowers", "--models", str(models), "--storage", "build/registry"]
    assert main(wanted) == 1
    assert "KServe fetches from s3://, gs://, pvc://, hf://, oci://" in capsys.readouterr().err
    assert not (OVERLAYS / NAME).exists()
