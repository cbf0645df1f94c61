from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artifact import Architecture, Revision, open_revision
from predictor import engines, registry
from predictor.engines import (
    Arrays,
    EngineError,
    EngineOptions,
    load_session,
    open_vino,
    torch_session,
)
from predictor.engines.onnx_runtime import OnnxSession
from predictor.engines.torch_session import TorchSession
from predictor.loading import load_revision
from predictor.programs import Program
from tests.conftest import ROOT, SHIPPED
from tests.predictor.exports import even_program, write_exported

FLOAT32, BFLOAT16 = EngineOptions(), EngineOptions("bfloat16")
CLASSIFIERS = [("mnist", "1"), ("fashion-mnist", "1"), ("fashion-mnist", "2")]


@pytest.fixture
def exported(tmp_path: Path) -> Revision:
    return write_exported(tmp_path, even_program())


def test_auto_takes_onnxruntime_where_the_card_says_it_is_equal(exported: Revision) -> None:
    name, session = load_session(exported, "auto", FLOAT32)
    assert name == "onnxruntime"
    assert isinstance(session, OnnxSession)


def test_auto_takes_torch_where_there_is_no_export(small_root: Path) -> None:
    name, session = load_session(open_revision(small_root, "mnist", "1"), "auto", FLOAT32)
    assert name == "torch"
    assert isinstance(session, TorchSession)


def test_auto_takes_torch_where_the_export_differs(tmp_path: Path) -> None:
    revision = write_exported(tmp_path, even_program(), difference=1.1e-5)
    assert load_session(revision, "auto", FLOAT32)[0] == "torch"
    with pytest.raises(EngineError, match=r"mnist/1: onnxruntime: .*differs .* by 1.1e-05"):
        load_session(revision, "onnxruntime", FLOAT32)


def test_bfloat16_is_torchs_where_openvino_is_not_installed(
    exported: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_vino, "find_spec", lambda name: None)
    assert load_session(exported, "auto", BFLOAT16)[0] == "torch"
    with pytest.raises(EngineError, match="computes in float32, not in bfloat16"):
        load_session(exported, "onnxruntime", BFLOAT16)
    with pytest.raises(EngineError, match="openvino: the package openvino is not installed"):
        load_session(exported, "openvino", FLOAT32)


def test_the_setting_decides(exported: Revision) -> None:
    assert isinstance(load_session(exported, "torch", FLOAT32)[1], TorchSession)
    assert isinstance(load_session(exported, "onnxruntime", FLOAT32)[1], OnnxSession)


def test_an_unknown_engine_is_named_with_those_that_there_are(exported: Revision) -> None:
    with pytest.raises(EngineError, match=r"'tensorrt' not found; available: auto, .*torch"):
        load_session(exported, "tensorrt", FLOAT32)


def test_no_export_is_refused_with_what_is_missing(small_root: Path) -> None:
    with pytest.raises(EngineError, match="mnist/1: onnxruntime: the card names no ONNX export"):
        load_session(open_revision(small_root, "mnist", "1"), "onnxruntime", FLOAT32)


def test_without_any_engine_every_reason_is_given(tmp_path: Path) -> None:
    revision = write_exported(tmp_path, even_program(), difference=1.0, architecture=None)
    with pytest.raises(EngineError, match=r"onnxruntime: .*; torch: the card names no arch"):
        load_session(revision, "auto", FLOAT32)


def test_a_network_that_only_its_export_knows_is_served(tmp_path: Path) -> None:
    unknown = Architecture("of-somebody-else", {})
    write_exported(tmp_path, even_program(), architecture=unknown)
    assert load_revision(tmp_path, "mnist", "1").engine == "onnxruntime"


def test_without_a_gpu_a_gpu_is_refused_by_every_engine(
    exported: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for engine in ("auto", "torch"):
        with pytest.raises(EngineError, match=r"mnist/1: .*torch: there is no CUDA device \(torch"):
            load_session(exported, engine, EngineOptions(device="cuda"))
    with pytest.raises(EngineError, match="onnxruntime: computes on the CPU, not on cuda"):
        load_session(exported, "auto", EngineOptions(device="cuda"))


def test_with_a_gpu_torch_computes_on_it(
    exported: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``meta`` stands for the GPU: a device of torch's that every machine has."""
    asked: list[str] = []

    def session(program: Program, device: str) -> TorchSession:
        asked.append(device)
        return TorchSession(program, "meta")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch_session, "TorchSession", session)
    name, loaded = load_session(exported, "auto", EngineOptions(device="cuda"))
    assert (name, asked) == ("torch", ["cuda"])
    assert isinstance(loaded, TorchSession)
    program = loaded.program
    assert {t.device.type for t in (*program.parameters(), *program.buffers())} == {"meta"}
    assert program(torch.zeros(2, 1, 28, 28, device="meta")).shape == (2, 10)


def test_a_tile_is_answered_on_the_device_that_it_is_on() -> None:
    """Nothing on the way makes a tensor on the CPU."""
    loaded = load_revision(SHIPPED, "land-cover", "1", "torch").session
    assert isinstance(loaded, TorchSession)
    program = loaded.program.to("meta")
    with torch.inference_mode():
        found = program(torch.zeros(1, 3, 64, 96, dtype=torch.uint8, device="meta"))
    assert (found.device.type, found.shape) == ("meta", (1, 6, 64, 96))


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(
    exported: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    (export,) = exported.card.exports
    used, needed = 10**9, 2 * export.size_bytes
    monkeypatch.setattr(engines, "memory_used", lambda: used)
    monkeypatch.setattr(engines, "memory_limit", lambda: used + needed)
    assert load_session(exported, "auto", FLOAT32)[0] == "onnxruntime"
    monkeypatch.setattr(engines, "memory_limit", lambda: used + needed - 1)
    (exported.folder / export.file).unlink()
    with pytest.raises(EngineError, match=r"mnist/1 does not fit: .* 1000 MB of the limit of 1000"):
        load_session(exported, "auto", FLOAT32)


class Constant:
    """An engine of somebody else's package."""

    preference = 99
    warm_up_sizes = (3,)
    memory_bytes = 0

    def refusal(self, revision: Revision, options: EngineOptions) -> str | None:
        return None if options.device == "cpu" else "knows no device"

    def needed_bytes(self, revision: Revision) -> int:
        return 0

    def load(self, revision: Revision, options: EngineOptions) -> Constant:
        return self

    def run(self, batch: NDArray[Any]) -> Arrays:
        return (np.full((len(batch), 10), 0.1, np.float32),)

    def stop(self, thread: int) -> bool:
        return False


def test_a_package_adds_an_engine(monkeypatch: pytest.MonkeyPatch, small_root: Path) -> None:
    point = EntryPoint("constant", f"{__name__}:Constant", registry.ENGINES)
    taken = EntryPoint("torch", f"{__name__}:Constant", registry.ENGINES)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point, taken]))
    loaded = load_revision(small_root, "mnist", "1")
    assert loaded.engine == "constant"
    assert loaded.probabilities(np.zeros((40, 1, 28, 28), np.float32)).shape == (40, 10)
    # A name of the project's own is not for others to take.
    assert isinstance(load_revision(small_root, "mnist", "1", "torch").session, TorchSession)


@pytest.mark.parametrize(("name", "revision"), CLASSIFIERS)
def test_the_shipped_classifiers_answer_alike_with_both_engines(name: str, revision: str) -> None:
    exact = load_revision(SHIPPED, name, revision, "torch")
    fast = load_revision(SHIPPED, name, revision)
    assert (exact.engine, fast.engine) == ("torch", "onnxruntime")
    random = np.random.default_rng(11)
    smooth = random.normal(size=(33, 1, 7, 7)).repeat(4, 2).repeat(4, 3)
    batch = np.concatenate([smooth, random.normal(size=(33, 1, 28, 28))]).astype(np.float32)
    expected = exact.probabilities(batch)
    for size in (1, 8, 32, 66):
        found = np.concatenate(
            [fast.probabilities(batch[i : i + size]) for i in range(0, 66, size)]
        )
        assert np.abs(found - expected).max() <= 1e-5
    assert expected.max(axis=1).min() < 0.9 < expected.max()


def test_tiles_are_answered_alike_by_both_engines() -> None:
    """But for a level of 255, since a byte is rounded to either side."""
    exact = load_revision(SHIPPED, "land-cover", "1", "torch")
    fast = load_revision(SHIPPED, "land-cover", "1")
    assert (exact.engine, fast.engine) == ("torch", "onnxruntime")
    random = np.random.default_rng(12)
    for height, width in ((32, 32), (64, 160), (96, 32)):
        smooth = random.integers(0, 256, (1, 3, height // 8, width // 8), np.uint8)
        batch = smooth.repeat(8, 2).repeat(8, 3)
        found, expected = fast.probabilities(batch), exact.probabilities(batch)
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 0.02


def test_a_predictor_on_onnxruntime_never_imports_torch() -> None:
    code = """
import sys
from pathlib import Path
import predictor.__main__
from predictor.loading import load_revision
for name in ("mnist", "fashion-mnist"):
    assert load_revision(Path("models"), name, "1").engine == "onnxruntime"
print(sorted(name for name in ("torch", "onnx") if name in sys.modules))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
