from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from predictor.agreement import largest_difference
from predictor.engines.onnx_runtime import OnnxSession
from predictor.engines.torch_session import TorchSession
from predictor.networks import Network, build_network
from predictor.networks.folding import fold_batch_norm
from predictor.programs import Program, program_for
from tests.conftest import ARCHITECTURE, ROOT, make_contract
from tests.predictor.test_networks import with_live_norms
from training import export as module
from training.export import export, random_instances, to_onnx

CONTRACT = make_contract()


def small_program(temperature: float = 1.25) -> Program:
    torch.manual_seed(1)
    network = build_network(ARCHITECTURE)
    fold_batch_norm(with_live_norms(network))
    return program_for(CONTRACT, network, temperature)


@pytest.fixture(scope="module")
def data() -> bytes:
    return to_onnx(small_program(), CONTRACT)


@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_the_export_answers_as_the_network_whatever_the_batch(size: int, data: bytes) -> None:
    batch = random_instances(CONTRACT, size)
    (expected,) = TorchSession(small_program()).run(batch)
    (found,) = OnnxSession(data, CONTRACT).run(batch)
    assert found.shape == (size, 10)
    assert np.abs(found - expected).max() < 1e-6
    assert np.ptp(expected) > 0.01


def test_the_export_says_nothing_of_where_it_was_made(data: bytes) -> None:
    assert str(ROOT).encode() not in data
    assert b".py" not in data


def test_the_export_is_one_file(data: bytes) -> None:
    model = onnx.load_from_string(data)
    assert not any(t.data_location == t.EXTERNAL for t in model.graph.initializer)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [module.OPSET]


def test_golden_answers_are_the_networks() -> None:
    exported = export(small_program(), CONTRACT, [random_instances(CONTRACT, 3)])
    golden = load(exported.files[exported.golden.file])
    (found,) = TorchSession(small_program()).run(golden["input"])
    assert np.array_equal(found, golden["output"])
    (entry,) = exported.exports
    assert entry.samples == module.NOISE_INSTANCES + 3
    assert entry.is_equal


class Drifting(Network):
    """Answers otherwise once it has been exported."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(10))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10] * self.weight


def test_an_export_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_for(CONTRACT, Drifting(), 1.0)
    data = to_onnx(program, CONTRACT)
    with torch.no_grad():
        program.network.get_parameter("weight").mul_(1.01)
    monkeypatch.setattr(module, "to_onnx", lambda *_: data)
    with pytest.raises(ValueError, match="the ONNX export differs from the network by"):
        export(program, CONTRACT, [random_instances(CONTRACT, 2)])


def test_the_shipped_exports_can_be_made_again() -> None:
    """From the weights beside them; the last bits of an answer are the exporter's."""
    from artifact import open_revision
    from predictor.engines.torch_session import load_program

    revision = open_revision(Path(ROOT / "models"), "mnist", "1")
    (shipped,) = revision.card.exports
    anew = OnnxSession(to_onnx(load_program(revision), revision.card.contract), CONTRACT)
    old = OnnxSession(revision.read_export(shipped), CONTRACT)
    batch = random_instances(CONTRACT, 16)
    assert largest_difference(anew.run(batch), old.run(batch)) < 1e-6
