"""A program of more than 2 GB does not fit into a file: its weights lie beside it.

Here the limit is lowered; ``python -m benchmarks.architectures`` imports networks of that size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save

from artifact import DigestMismatchError, Revision, sha256_of
from predictor.engines import EngineError, EngineOptions
from predictor.engines.onnx_runtime import OnnxRuntimeEngine, OnnxSession
from predictor.engines.open_vino import OpenVinoEngine
from predictor.loading import load_revision
from registry.errors import RefusedError
from registry.mlflow_folder import write_folder
from tests.training.importing.conftest import Importer, flowers
from training.importing import graph
from training.importing.errors import ImportRefusedError
from training.importing.publish import write
from training.importing.pytorch import export_module

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NETWORK = "tests.training.importing.conftest:flowers"
MOST = 2000
"""The network's program has 2.8 KB, and 1.3 KB without its large tensors."""


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST_BYTES", MOST)
    monkeypatch.setattr(graph, "LARGE_BYTES", 256)


@pytest.fixture
def large(tmp_path: Path, importer: Importer, lowered: None) -> Revision:
    torch.save(flowers().state_dict(), tmp_path / "weights.pth")
    report = importer(tmp_path / "weights.pth", network=NETWORK)
    return write(tmp_path / "models", "flowers", "1", tmp_path / "out", report)


def test_it_answers_as_the_network(large: Revision, tmp_path: Path) -> None:
    (export,) = large.card.exports
    assert export.size_bytes <= MOST < export.total_bytes
    assert export.weights is not None
    assert large.card.files["model.safetensors"] == export.weights.sha256
    golden = load_file(large.folder / "golden.safetensors")
    loaded = load_revision(tmp_path / "models", "flowers", "1")
    (found,) = loaded.session.run(golden["input"])
    assert np.abs(found - golden["output"]).max() < 1e-5
    assert loaded.session.memory_bytes > export.size_bytes
    assert OnnxRuntimeEngine().needed_bytes(large) == 2 * export.total_bytes


def test_other_weights_are_refused(large: Revision, tmp_path: Path) -> None:
    path = large.folder / "model.safetensors"
    path.write_bytes(save({name: array * 2 for name, array in load_file(path).items()}))
    with pytest.raises(DigestMismatchError, match=r"flowers/1: model\.safetensors"):
        load_revision(tmp_path / "models", "flowers", "1")


@pytest.mark.parametrize("missing", ["all", "one"])
def test_a_program_without_its_weights_is_refused(large: Revision, missing: str) -> None:
    weights = load_file(large.folder / "model.safetensors")
    given = {} if missing == "all" else dict(list(weights.items())[1:])
    with pytest.raises(EngineError, match="cannot be loaded"):
        OnnxSession((large.folder / "model.onnx").read_bytes(), large.card.contract, given)


def test_what_needs_one_file_says_so(large: Revision, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    refusal = OpenVinoEngine().refusal(large, EngineOptions())
    assert refusal == "model.onnx has its weights in model.safetensors"


def test_mlflow_needs_one_file(large: Revision, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="more weights than one ONNX file holds"):
        write_folder(large, tmp_path / "mlflow")


def test_a_large_program_as_a_source_is_refused(
    tmp_path: Path, importer: Importer, lowered: None
) -> None:
    program = export_module(flowers(), np.zeros((2, 3, 32, 32), np.float32), ("output",))
    onnx.save(program, tmp_path / "flowers.onnx")
    with pytest.raises(ImportRefusedError, match=r"up to 2 GB are taken.*--network"):
        importer(tmp_path / "flowers.onnx")


def test_weights_that_are_no_safetensors_are_refused(large: Revision, tmp_path: Path) -> None:
    (export,) = large.card.exports
    assert export.weights is not None
    (large.folder / "model.safetensors").write_bytes(b"nothing")
    card = (large.folder / "model.json").read_text()
    card = card.replace(export.weights.sha256, sha256_of(b"nothing"))
    (large.folder / "model.json").write_text(card)
    with pytest.raises(EngineError, match=r"model\.safetensors cannot be read"):
        load_revision(tmp_path / "models", "flowers", "1")
