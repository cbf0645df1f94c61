from __future__ import annotations

import io
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from artifact import (
    Architecture,
    ArtifactError,
    CardError,
    DigestMismatchError,
    RevisionNotFoundError,
    write_revision,
)
from predictor.engines import EngineOptions, precision
from predictor.engines.precision import usable_precision
from predictor.engines.torch_session import TorchSession
from predictor.loading import LoadedRevision, load_revision
from predictor.networks import Network, build_network
from predictor.programs import Program, program_for
from tasks import find_task
from tests.conftest import ARCHITECTURE, make_card, make_contract, make_weights, write_small

PASS = find_task("classification").max_instances_per_pass


def written(root: Path, weights: bytes | None = None, **changes: object) -> Path:
    write_revision(root, make_card(**changes), make_weights(0) if weights is None else weights)
    return root


def batch(random: np.random.Generator, count: int = 3) -> Any:
    return random.normal(size=(count, 1, 28, 28)).astype(np.float32)


def program(loaded: LoadedRevision) -> Program:
    assert isinstance(loaded.session, TorchSession)
    return loaded.session.program


def with_network(
    loaded: LoadedRevision, network: Network, temperature: float = 1.25
) -> LoadedRevision:
    """The same revision, answered by another network."""
    session = TorchSession(program_for(loaded.card.contract, network.eval(), temperature))
    return replace(loaded, session=session)


def test_a_revision_is_loaded_with_its_card_and_digest(small_root: Path) -> None:
    loaded = load_revision(small_root, "mnist", "2")
    assert loaded.card.identity == "mnist/2"
    assert loaded.digest.startswith("sha256:")
    assert loaded.digest != load_revision(small_root, "mnist", "1").digest
    assert not any(module.training for module in program(loaded).modules())
    assert loaded.engine == "torch"


def test_a_revision_is_loaded_from_any_folder(small_root: Path, tmp_path: Path) -> None:
    loaded = load_revision(tmp_path, "mnist", str(small_root / "mnist" / "1"))
    assert loaded.card.identity == "mnist/1"


def test_the_answers_are_those_of_the_stored_weights(
    tmp_path: Path, random: np.random.Generator
) -> None:
    tensors = load(make_weights(0))
    for name, tensor in tensors.items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    loaded = load_revision(written(tmp_path, save(tensors)), "mnist", "1")
    network = build_network(ARCHITECTURE)
    network.load_state_dict(tensors)
    plain = with_network(loaded, network)
    images = batch(random, 5)
    assert loaded.probabilities(images) == pytest.approx(plain.probabilities(images), abs=1e-5)


def test_probabilities_are_the_softmax_of_the_tempered_logits(
    small_root: Path, random: np.random.Generator
) -> None:
    loaded = load_revision(small_root, "mnist", "1")
    images = batch(random)
    with torch.inference_mode():
        logits = program(loaded).network(torch.from_numpy(images))
    found = loaded.probabilities(images)
    assert (found.shape, found.dtype) == ((3, 10), np.float32)
    expected = torch.softmax(logits / 1.25, dim=1).numpy()
    assert found == pytest.approx(expected, abs=1e-6)
    assert np.abs(found - torch.softmax(logits, dim=1).numpy()).max() > 1e-5
    assert found.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert (found >= 0).all()


def test_a_high_temperature_flattens(small_root: Path, random: np.random.Generator) -> None:
    loaded = load_revision(small_root, "mnist", "1")
    hot = with_network(loaded, program(loaded).network, 1e6)
    images = batch(random)
    assert hot.probabilities(images) == pytest.approx(np.full((3, 10), 0.1), abs=1e-4)
    assert np.ptp(loaded.probabilities(images), axis=1).min() > 1e-3


def test_a_row_does_not_depend_on_its_batch(small_root: Path, random: np.random.Generator) -> None:
    loaded = load_revision(small_root, "fashion-mnist", "1")
    images = batch(random, 7)
    together = loaded.probabilities(images)
    for row in range(7):
        alone = loaded.probabilities(images[row : row + 1].copy())[0]
        assert together[row] == pytest.approx(alone, abs=1e-5)


def test_bytes_from_the_wire_are_read_without_a_warning(small_root: Path) -> None:
    loaded: LoadedRevision = load_revision(small_root, "mnist", "1")
    read_only = np.frombuffer(bytes(4 * 784), np.float32).reshape(1, 1, 28, 28)
    writable = np.zeros((1, 1, 28, 28), np.float32)
    assert np.array_equal(loaded.probabilities(read_only), loaded.probabilities(writable))


@pytest.mark.parametrize(("name", "selector"), [("mnist", "9"), ("nope", "1"), ("mnist", "/nope")])
def test_a_missing_revision(name: str, selector: str, small_root: Path) -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        load_revision(small_root, name, selector)
    assert name in str(caught.value)


def test_a_card_without_weights(tmp_path: Path) -> None:
    write_small(tmp_path, "mnist", "1", 0)
    (tmp_path / "mnist" / "1" / "weights.safetensors").unlink()
    with pytest.raises(RevisionNotFoundError, match="mnist/1"):
        load_revision(tmp_path, "mnist", "1")


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "empty"])
def test_damaged_weights(damage: str, tmp_path: Path) -> None:
    write_small(tmp_path, "mnist", "1", 0)
    path = tmp_path / "mnist" / "1" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-5] ^= 1
    damaged = {"cut": data[:-1], "longer": data + b"x", "empty": b""}.get(damage, data)
    path.chmod(0o644)
    path.write_bytes(bytes(damaged))
    with pytest.raises(DigestMismatchError, match="mnist/1"):
        load_revision(tmp_path, "mnist", "1")


def changed_weights(change: str) -> bytes:
    tensors = load(make_weights(0))
    if change == "a tensor is missing":
        del tensors["head.bias"]
    elif change == "a tensor is left over":
        tensors["head.extra"] = torch.zeros(1)
    elif change == "a shape differs":
        tensors["head.bias"] = torch.zeros(11)
    elif change == "a name differs":
        tensors["tail.bias"] = tensors.pop("head.bias")
    return save(tensors)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("a tensor is missing", "head.bias"),
        ("a tensor is left over", "head.extra"),
        ("a shape differs", "head.bias"),
        ("a name differs", "head.bias"),
    ],
)
def test_weights_of_another_architecture_name_the_tensor(
    change: str, named: str, tmp_path: Path
) -> None:
    root = written(tmp_path, changed_weights(change))
    with pytest.raises(ArtifactError, match=f"mnist/1: .*architecture: {named}"):
        load_revision(root, "mnist", "1")


def test_another_architecture_than_that_of_the_weights(tmp_path: Path) -> None:
    arguments = {**ARCHITECTURE.arguments, "widths": [8, 24], "hidden": [8, 24]}
    root = written(tmp_path, architecture=Architecture("residual-cnn", arguments))
    with pytest.raises(ArtifactError, match="do not fit the architecture"):
        load_revision(root, "mnist", "1")


def test_an_unknown_architecture(tmp_path: Path) -> None:
    root = written(tmp_path, architecture=Architecture("resnet", {}))
    with pytest.raises(CardError) as caught:
        load_revision(root, "mnist", "1")
    assert caught.value.field == "architecture.name"


def test_labels_that_are_not_as_many_as_the_classes(tmp_path: Path) -> None:
    contract = replace(make_contract(), labels=tuple("abcdefghi"))
    with pytest.raises(ArtifactError, match="mnist/1"):
        load_revision(written(tmp_path, contract=contract), "mnist", "1")


def test_an_input_that_the_network_does_not_take(tmp_path: Path) -> None:
    contract = make_contract(mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(ArtifactError, match="mnist/1"):
        load_revision(written(tmp_path, contract=contract), "mnist", "1")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    tensors = load(make_weights(0))
    tensors["head.bias"][3] = value
    with pytest.raises(ArtifactError, match="finite"):
        load_revision(written(tmp_path, save(tensors)), "mnist", "1")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_is_refused_and_never_run(kind: str, tmp_path: Path) -> None:
    trace = tmp_path / "unpickled"
    buffer = io.BytesIO()
    if kind == "pickle":
        pickle.dump(Bomb(trace), buffer)
    else:
        torch.save({"head.bias": Bomb(trace)}, buffer)
    root = written(tmp_path / "models", buffer.getvalue())
    with pytest.raises(ArtifactError, match="mnist/1"):
        load_revision(root, "mnist", "1")
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()


@pytest.mark.parametrize("weights", [b"x", b"not safetensors at all", bytes(100)])
def test_what_is_no_safetensors_file(weights: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="mnist/1"):
        load_revision(written(tmp_path, weights), "mnist", "1")


def test_torch_never_loads_a_pickle_here(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("pickle")

    monkeypatch.setattr(torch, "load", forbidden)
    monkeypatch.setattr(pickle, "loads", forbidden)
    monkeypatch.setattr(pickle, "load", forbidden)
    assert load_revision(small_root, "mnist", "1").card.identity == "mnist/1"


def test_bfloat16_answers_nearly_alike(small_root: Path, random: np.random.Generator) -> None:
    exact = load_revision(small_root, "mnist", "1")
    short = load_revision(small_root, "mnist", "1", options=EngineOptions("bfloat16"))
    for name, parameter in program(short).network.named_parameters():
        rounded = name.startswith("stages.")
        assert parameter.dtype is (torch.bfloat16 if rounded else torch.float32)
    batch = random.normal(size=(40, 1, 28, 28)).astype(np.float32)
    found = short.probabilities(batch)
    assert found.dtype == np.float32
    assert np.abs(found.sum(1) - 1).max() < 1e-5
    assert 0 < np.abs(found - exact.probabilities(batch)).max() < 0.05


def test_a_processor_without_bfloat16_takes_float32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    capabilities = torch.cpu.get_capabilities()
    supported = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    assert usable_precision("float32") == "float32"
    expected = "bfloat16" if supported else "float32"
    assert usable_precision("bfloat16") == expected
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPU_INFO", told)
    for flags, expected in (
        ("flags : avx512f avx512_bf16 vaes", "bfloat16"),
        ("flags : amx_bf16", "bfloat16"),
        ("Features : asimd bf16 i8mm", "bfloat16"),
        ("flags : avx512f avx512_fp16 xbf16x", "float32"),
    ):
        told.write_text(flags)
        assert usable_precision("bfloat16") == expected
    told.unlink()
    assert usable_precision("bfloat16") == "float32"
    assert "bfloat16 is not available" in caplog.text


def test_a_large_batch_is_passed_in_parts(small_root: Path, random: np.random.Generator) -> None:
    sizes: list[int] = []

    class Counted(Network):
        def __init__(self, network: Network) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            out: Tensor = self.network(x)
            return out

    loaded = load_revision(small_root, "mnist", "1")
    loaded = with_network(loaded, Counted(program(loaded).network))
    batch = random.normal(size=(PASS * 2 + 3, 1, 28, 28)).astype(np.float32)
    found = loaded.probabilities(batch)
    assert sizes == [PASS, PASS, 3]
    for row in (0, PASS, len(batch) - 1):
        assert found[row] == pytest.approx(loaded.probabilities(batch[row : row + 1])[0], abs=1e-5)
