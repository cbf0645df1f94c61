from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper

from artifact import ArtifactError, open_revision
from predictor.agreement import largest_difference
from predictor.engines import EngineError, EngineOptions, load_session
from predictor.engines.onnx_runtime import OnnxSession
from predictor.engines.open_vino import OpenVinoSession
from predictor.loading import load_revision
from tests.conftest import SHIPPED, make_contract
from tests.predictor.exports import (
    EVEN,
    doubled_program,
    even_program,
    golden_answers,
    write_exported,
)
from training.export import random_instances

pytest.importorskip("openvino", reason="openvino is not installed")

CONTRACT = make_contract()
EXACT, SHORT = EngineOptions(), EngineOptions("bfloat16", passes=2)


def session(program: bytes, options: EngineOptions = EXACT) -> OpenVinoSession:
    return OpenVinoSession(program, CONTRACT, options)


@pytest.mark.parametrize("options", [EXACT, SHORT])
def test_a_program_answers_batches_of_any_size(options: EngineOptions) -> None:
    loaded = session(even_program(), options)
    for size in (1, 2, 33):
        (found,) = loaded.run(np.ones((size, 1, 28, 28), np.float32))
        assert found == pytest.approx(np.full((size, 10), EVEN), abs=1e-3)
        assert found.dtype == np.float32
    assert loaded.memory_bytes == len(even_program())


def test_what_comes_from_the_wire_is_read_as_it_is() -> None:
    read_only = np.frombuffer(bytes(4 * 784), np.float32).reshape(1, 1, 28, 28)
    assert session(even_program()).run(read_only)[0].shape == (1, 10)


def test_rows_that_lie_apart_are_read_in_order() -> None:
    loaded = load_revision(SHIPPED, "mnist", "1", "openvino")
    random = np.random.default_rng(5)
    wide = random.normal(size=(3, 1, 28, 56)).astype(np.float32)
    apart = wide[:, :, :, ::2]
    assert largest_difference(loaded.outputs(apart), loaded.outputs(apart.copy())) == 0


def test_an_answer_is_not_overwritten_by_the_next() -> None:
    loaded = load_revision(SHIPPED, "mnist", "1", "openvino")
    first, second = np.random.default_rng(4).normal(size=(2, 1, 1, 28, 28)).astype(np.float32)
    (found,) = loaded.outputs(first)
    kept = found.copy()
    loaded.outputs(second)
    assert np.array_equal(found, kept)


def test_threads_share_a_session() -> None:
    loaded = load_revision(SHIPPED, "mnist", "1", "openvino", EngineOptions(passes=2))
    batches = np.random.default_rng(1).normal(size=(16, 4, 1, 28, 28)).astype(np.float32)
    expected = [loaded.outputs(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(loaded.outputs, batches))
    assert max(map(largest_difference, found, expected)) < 1e-6


def test_several_outputs_come_in_the_order_of_the_contract() -> None:
    contract = replace(CONTRACT, outputs=("probabilities", "again"))
    batch = np.ones((3, 1, 28, 28), np.float32)
    found = OpenVinoSession(doubled_program(), contract, EXACT).run(batch)
    assert [rows.shape for rows in found] == [(3, 10), (3, 10)]


def test_a_run_can_be_stopped_and_the_next_one_is_not() -> None:
    """In the middle of the largest tile, which takes a second."""
    revision = open_revision(SHIPPED, "land-cover", "1")
    _, loaded = load_session(revision, "openvino", EXACT)
    small, large = (np.zeros((1, 3, side, side), np.uint8) for side in (64, 1536))
    loaded.run(small)
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.get_ident).result()
        running = pool.submit(loaded.run, large)
        while not running.done():
            time.sleep(0.05)
            assert loaded.stop(thread)
        with pytest.raises(RuntimeError, match="canceled"):
            running.result()
        assert pool.submit(loaded.run, small).result()[0].shape == (1, 6, 64, 64)
    assert loaded.stop(0)  # nothing runs there


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"", "cannot be loaded"),
        (b"no program at all", "cannot be loaded"),
        (even_program()[:-100], "cannot be loaded"),
        (even_program(domain="of.somebody"), "cannot be loaded"),
        (even_program(input_name="pixels"), "expected input image .* got pixels"),
        (even_program(output_name="logits2"), "expected .* output probabilities, got .*logits2"),
    ],
)
def test_what_is_no_program_of_the_contract_is_refused(program: bytes, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        session(program)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_data_outside_of_the_file_is_refused(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for folder in (tmp_path, tmp_path / "inside"):
        (folder / "weights.bin").write_bytes(bytes(4 * 7840))
    model = onnx.load_from_string(even_program())
    (zeros,) = model.graph.initializer
    zeros.raw_data = bytes(4 * 7840)
    zeros.ClearField("float_data")
    external_data_helper.set_external_data(zeros, location)
    zeros.ClearField("raw_data")
    with pytest.raises(EngineError, match="cannot be loaded"):
        session(model.SerializeToString())


@pytest.mark.parametrize("name", ["mnist/1", "fashion-mnist/2", "land-cover/1"])
def test_float32_is_float32(name: str) -> None:
    """Its own choice would be bfloat16 where the processor has it."""
    model, _, number = name.partition("/")
    exact = load_revision(SHIPPED, model, number, "torch")
    found = load_revision(SHIPPED, model, number, "openvino")
    assert found.engine == "openvino"
    (export,) = exact.card.exports
    batch = random_instances(exact.card.contract, 4)
    assert largest_difference(found.outputs(batch), exact.outputs(batch)) <= export.tolerance


def test_bfloat16_is_openvinos_where_it_is_installed(tmp_path: Path) -> None:
    revision = write_exported(tmp_path, even_program())
    assert load_session(revision, "auto", SHORT)[0] == "openvino"
    assert isinstance(load_session(revision, "auto", EXACT)[1], OnnxSession)
    assert isinstance(load_session(revision, "openvino", EXACT)[1], OpenVinoSession)


def test_golden_answers_are_verified_in_bfloat16(tmp_path: Path) -> None:
    write_exported(tmp_path, even_program(), golden=golden_answers(0.15))
    assert load_revision(tmp_path, "mnist", "1", options=SHORT).engine == "openvino"
    write_exported(tmp_path, even_program(), golden=golden_answers(0.25), revision="2")
    with pytest.raises(ArtifactError, match="openvino answers differ from the golden"):
        load_revision(tmp_path, "mnist", "2", options=SHORT)


def test_a_gpu_is_refused(tmp_path: Path) -> None:
    revision = write_exported(tmp_path, even_program())
    with pytest.raises(EngineError, match="openvino: computes on the CPU, not on cuda"):
        load_session(revision, "openvino", EngineOptions(device="cuda"))
