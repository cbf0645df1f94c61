from __future__ import annotations

import json
from pathlib import Path

import pytest

from artifact import Revision
from registry.__main__ import main
from registry.errors import NotFoundError, RefusedError
from registry.folder import FolderStore
from registry.history import History
from registry.manifests import objects
from registry.revisions import Registry


@pytest.fixture
def registry(folder: FolderStore, revision: Revision) -> Registry:
    """In a folder that says that it is a bucket."""
    folder.url = "s3://models/vision"
    made = Registry(folder, History(folder), "ada@example.com")
    made.publish(revision)
    made.alias("mnist", "stable", "1")
    return made


def test_a_cache_and_a_service_have_the_same_address(
    registry: Registry, revision: Revision
) -> None:
    cache, service = objects(registry, "mnist", "1", "workers", "downloads")
    size = sum(path.stat().st_size for path in revision.folder.iterdir())
    assert cache == {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelCache",
        "metadata": {"name": "mnist-1"},
        "spec": {
            "sourceModelUri": "s3://models/vision/models/mnist/1",
            "modelSize": f"{-(-size // 2**20)}Mi",
            "nodeGroups": ["workers"],
            "serviceAccountName": "downloads",
        },
    }
    assert service["spec"]["predictor"] == {
        "model": {
            "modelFormat": {"name": "vision"},
            "storageUri": "s3://models/vision/models/mnist/1",
        },
        "serviceAccountName": "downloads",
    }
    assert objects(registry, "mnist", "1")[0]["kind"] == "InferenceService"


def test_what_no_pod_reaches_is_refused(registry: Registry, folder: FolderStore) -> None:
    with pytest.raises(NotFoundError, match="mnist/2 is not in the registry"):
        objects(registry, "mnist", "2")
    folder.url = "file:///registry"
    with pytest.raises(RefusedError, match="which no pod reaches"):
        objects(registry, "mnist", "1")


def test_the_command_prints_what_kubectl_takes(
    s3_environment: str, revision: Revision, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"VISION_REGISTRY": "s3://vision-tests/rendered"}
    assert main(["init"], environment) == 0
    assert main(["publish", "mnist/1", "--models", str(models)], environment) == 0
    assert main(["alias", "mnist/1", "stable"], environment) == 0
    capsys.readouterr()
    assert main(["render", "mnist/stable", "--local-cache", "workers"], environment) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["kind"] == "List"
    kinds = [item["kind"] for item in printed["items"]]
    assert kinds == ["LocalModelCache", "InferenceService"]
    address = "s3://vision-tests/rendered/models/mnist/1"
    assert printed["items"][0]["spec"]["sourceModelUri"] == address
