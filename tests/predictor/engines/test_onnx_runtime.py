from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper
from safetensors.numpy import save

from artifact import ArtifactError, DigestMismatchError, RevisionNotFoundError
from predictor.engines.engine import EngineError
from predictor.engines.onnx_runtime import OnnxSession
from predictor.loading import load_revision
from predictor.workers import BatchQueue, WorkerPool
from serving.errors import DeadlineExceededError
from tests.conftest import ROOT, SHIPPED, make_contract
from tests.predictor.exports import (
    EVEN,
    doubled_program,
    endless_program,
    even_program,
    golden_answers,
    write_exported,
)

CONTRACT = make_contract()


def test_a_program_answers_batches_of_any_size() -> None:
    session = OnnxSession(even_program(), CONTRACT)
    for size in (1, 2, 33):
        (found,) = session.run(np.ones((size, 1, 28, 28), np.float32))
        assert found == pytest.approx(np.full((size, 10), EVEN))
    assert session.memory_bytes == len(even_program())


def test_what_comes_from_the_wire_is_read_as_it_is() -> None:
    session = OnnxSession(even_program(), CONTRACT)
    read_only = np.frombuffer(bytes(4 * 784), np.float32).reshape(1, 1, 28, 28)
    assert session.run(read_only)[0].shape == (1, 10)


def test_threads_share_a_session() -> None:
    loaded = load_revision(SHIPPED, "mnist", "1")
    batches = np.random.default_rng(1).normal(size=(16, 4, 1, 28, 28)).astype(np.float32)
    expected = [loaded.session.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(loaded.session.run, batches))
    assert all(np.array_equal(f[0], e[0]) for f, e in zip(found, expected, strict=True))


def test_a_run_can_be_stopped_and_the_next_one_is_not() -> None:
    session = OnnxSession(endless_program(), CONTRACT)
    batch = np.zeros((1, 1, 28, 28), np.float32)
    failed: list[Exception] = []

    def run() -> None:
        try:
            session.run(batch)
        except Exception as error:
            failed.append(error)

    for _ in range(2):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert thread.ident is not None
        assert session.stop(thread.ident)
        thread.join(20)
        assert not thread.is_alive()
    assert len(failed) == 2
    assert session.stop(0)  # nothing runs there


async def test_a_pass_without_an_end_is_refused_and_frees_its_worker() -> None:
    session = OnnxSession(endless_program(), CONTRACT)
    quick = OnnxSession(even_program(), CONTRACT)
    batch = np.zeros((1, 1, 28, 28), np.float32)
    with WorkerPool(1, max_batch_seconds=0.2) as pool:
        endless = BatchQueue(pool, session.run, 8, session.stop)
        other = BatchQueue(pool, quick.run, 8, quick.stop)
        with pytest.raises(DeadlineExceededError, match=r"took more than 0\.2 s"):
            await endless.submit(batch)
        assert (await other.submit(batch))[0].shape == (1, 10)


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
        OnnxSession(program, CONTRACT)


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
        OnnxSession(model.SerializeToString(), CONTRACT)


def test_a_damaged_export_is_refused(tmp_path: Path) -> None:
    revision = write_exported(tmp_path, even_program())
    (revision.folder / "model.onnx").write_bytes(even_program(input_name="pixels"))
    with pytest.raises(DigestMismatchError, match=r"mnist/1: model\.onnx"):
        load_revision(tmp_path, "mnist", "1")
    (revision.folder / "model.onnx").unlink()
    with pytest.raises(RevisionNotFoundError, match=r"mnist/1: .*model\.onnx"):
        load_revision(tmp_path, "mnist", "1")


def test_an_export_whose_classes_are_not_the_labels_is_refused(tmp_path: Path) -> None:
    contract = replace(CONTRACT, labels=tuple("abcdefghi"))
    write_exported(tmp_path, even_program(), contract=contract)
    with pytest.raises(ArtifactError, match=r"mnist/1: .*\(1, 10\).*\(1, 9\)"):
        load_revision(tmp_path, "mnist", "1")


def test_the_message_names_revision_and_file(tmp_path: Path) -> None:
    write_exported(tmp_path, b"nothing")
    with pytest.raises(EngineError, match=r"^mnist/1: model\.onnx: cannot be loaded"):
        load_revision(tmp_path, "mnist", "1")


TWO_OUTPUTS = replace(CONTRACT, outputs=("probabilities", "again"))


def test_several_outputs_come_in_the_order_of_the_contract() -> None:
    batch = np.ones((3, 1, 28, 28), np.float32)
    found = OnnxSession(doubled_program(), TWO_OUTPUTS).run(batch)
    assert [rows.shape for rows in found] == [(3, 10), (3, 10)]
    turned = replace(CONTRACT, outputs=("again", "probabilities"))
    with pytest.raises(EngineError, match=r"expected .* again, probabilities, got"):
        OnnxSession(doubled_program(), turned)


@pytest.mark.parametrize("second", [EVEN, 0.2])
def test_golden_answers_hold_every_output(second: float, tmp_path: Path) -> None:
    images = np.zeros((2, 1, 28, 28), np.float32)
    first, again = (np.full((2, 10), value, np.float32) for value in (EVEN, second))
    golden = save({"input": images, "output.probabilities": first, "output.again": again})
    write_exported(tmp_path, doubled_program(), golden=golden, contract=TWO_OUTPUTS)
    if second == EVEN:
        assert len(load_revision(tmp_path, "mnist", "1").outputs(images)) == 2
        return
    with pytest.raises(ArtifactError, match=r"differ from the golden ones by 0\.1"):
        load_revision(tmp_path, "mnist", "1")


def test_golden_answers_are_verified(tmp_path: Path) -> None:
    write_exported(tmp_path, even_program(), golden=golden_answers())
    assert load_revision(tmp_path, "mnist", "1").engine == "onnxruntime"
    # The export answers evenly; the small random network behind it does not.
    with pytest.raises(ArtifactError, match="torch answers differ from the golden ones by"):
        load_revision(tmp_path, "mnist", "1", "torch")


@pytest.mark.parametrize(
    ("golden", "reason"),
    [
        (golden_answers(0.1002), r"by 0\.000199996"),
        (golden_answers(float("nan")), "by nan"),
        (b"nothing", r"golden\.safetensors"),
    ],
)
def test_wrong_golden_answers_are_refused(golden: bytes, reason: str, tmp_path: Path) -> None:
    write_exported(tmp_path, even_program(), golden=golden)
    with pytest.raises(ArtifactError, match=f"^mnist/1: .*{reason}"):
        load_revision(tmp_path, "mnist", "1")


def test_nobody_is_told_what_is_served(tmp_path: Path) -> None:
    """The library's telemetry keeps what it will send below the home folder."""
    code = (
        "from predictor.loading import load_revision\n"
        "from pathlib import Path\n"
        f"load_revision(Path({str(SHIPPED)!r}), 'mnist', '1')\n"
        "import onnxruntime, time; time.sleep(0.5)"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    assert not list(tmp_path.rglob("*"))
