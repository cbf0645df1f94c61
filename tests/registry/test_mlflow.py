from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from artifact import Revision, open_folder, open_revision
from registry.__main__ import main
from registry.errors import ExistsError, RefusedError, StoreError
from registry.mlflow_folder import write_folder
from registry.mlflow_server import download, register
from tests.conftest import SHIPPED


@pytest.fixture
def shipped() -> Revision:
    return open_revision(SHIPPED, "fashion-mnist", "2")


def test_a_folder_says_what_mlflow_asks(shipped: Revision, tmp_path: Path) -> None:
    folder = write_folder(shipped, tmp_path / "model")
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert described["flavors"]["onnx"]["data"] == "model.onnx"
    assert described["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    (given,) = json.loads(described["signature"]["inputs"])
    assert given == {
        "type": "tensor",
        "tensor-spec": {"dtype": "float32", "shape": [-1, 1, 28, 28]},
        "name": "image",
    }
    (answer,) = json.loads(described["signature"]["outputs"])
    assert (answer["name"], answer["tensor-spec"]["shape"]) == ("probabilities", [-1, 10])
    assert described["metadata"]["digest"] == shipped.digest
    assert open_folder(folder / "vision").digest == shipped.digest
    assert {path.name for path in folder.iterdir()} == {
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "model.onnx",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
        "vision",
    }


def test_the_signature_is_that_of_the_program(shipped: Revision, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    folder = write_folder(shipped, tmp_path / "model")
    example = json.loads((folder / "input_example.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    given = {name: np.array(value, np.float32) for name, value in example.items()}
    assert [i.name for i in session.get_inputs()] == list(given)
    assert [o.name for o in session.get_outputs()] == ["probabilities"]
    assert session.run(None, given)[0].shape == (1, 10)


def test_what_cannot_be_written(shipped: Revision, revision: Revision, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ExistsError, match="is not empty"):
        write_folder(shipped, tmp_path / "full")
    with pytest.raises(RefusedError, match="mnist/1 has no ONNX program"):
        write_folder(revision, tmp_path / "model")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"VISION_REGISTRY": str(tmp_path / "store")}
    assert main(["publish", "mnist/1", "--models", str(SHIPPED)], environment) == 0
    told = ["export", "mnist/1", "--mlflow", str(tmp_path / "model")]
    assert main(told, environment) == 0
    assert (tmp_path / "model" / "MLmodel").is_file()
    assert main(told, environment) == 3
    assert "is not empty" in capsys.readouterr().err


def test_without_the_package(shipped: Revision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    for call in (
        lambda: register(shipped, "sqlite:///x.db"),
        lambda: download("models:/mnist/1", Path()),
    ):
        with pytest.raises(StoreError, match="pip install mlflow; a model folder needs none"):
            call()


@pytest.mark.filterwarnings("ignore")
def test_there_and_back(shipped: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    made = register(shipped, uri)
    assert (made.uri, made.is_new) == ("models:/fashion-mnist/1", True)
    assert register(shipped, uri) == (made.uri, False)
    folder = download(made.uri, tmp_path / "fetched")
    assert open_folder(folder / "vision").digest == shipped.digest
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert loaded.predict(loaded.input_example)["probabilities"].shape == (1, 10)
    with pytest.raises(StoreError, match="models:/fashion-mnist/9"):
        download("models:/fashion-mnist/9", tmp_path / "fetched")
