from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from artifact import RevisionExistsError, SeedResult, open_revision
from predictor.loading import load_revision
from predictor.networks import build_network
from tests.conftest import ARCHITECTURE, make_contract
from tests.training.synthetic import LABELS, data, settings
from training.data import evaluation_tensors
from training.loop import Epoch, RunResult
from training.publish import LIBRARIES, publish, summary

DATA = data()
CONTRACT = make_contract()


def finished(seed: int, epochs: int = 2) -> RunResult:
    torch.manual_seed(seed)
    network = build_network(ARCHITECTURE)
    # An untrained network answers alike to everything; spread its logits.
    with torch.no_grad():
        network.get_parameter("head.weight").mul_(20)
    history = [Epoch(i + 1, 0.1, 2.0, 1.5, 0.25, 1.25) for i in range(epochs)]
    weights = {k: v.detach().clone().contiguous() for k, v in network.state_dict().items()}
    return RunResult(seed, "2026-01-02T03:04:05Z", weights, history)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    runs = [finished(seed) for seed in (3, 4, 5)]
    publish(settings(parent="mnist/7"), DATA, CONTRACT, runs, folder, "1")
    return folder


def test_the_revision_is_valid(root: Path) -> None:
    revision = open_revision(root, "mnist", "1")
    card = revision.card
    assert card.contract == CONTRACT
    assert card.parent == "mnist/7"
    assert card.architecture == ARCHITECTURE
    assert (card.data.name, card.data.digest) == (DATA.name, DATA.digest)
    assert (card.data.train, card.data.validation, card.data.test) == (48, 20, 30)
    assert card.training == settings(parent="mnist/7").as_json()
    assert set(card.libraries) == set(LIBRARIES)
    assert card.weights.sha256 != "sha256:" + "0" * 64
    assert set(load(revision.read_weights())) == set(finished(3).weights)


def test_pictures_lie_beside_it(root: Path) -> None:
    folder = root / "mnist" / "1"
    assert {path.name for path in folder.iterdir()} == {
        "model.json",
        "weights.safetensors",
        "model.onnx",
        "golden.safetensors",
        "curves.png",
        "confusion.png",
    }
    for name in ("curves.png", "confusion.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_best_run_on_the_validation_split_is_shipped(root: Path) -> None:
    revision = open_revision(root, "mnist", "1")
    metrics = revision.card.metrics
    assert [result.seed for result in metrics.seeds] == [3, 4, 5]
    best = max(metrics.seeds, key=lambda result: result.validation_accuracy)
    assert metrics.shipped_seed == best.seed
    assert (metrics.test_accuracy, metrics.test_ece) == (best.test_accuracy, best.test_ece)
    assert revision.card.temperature == best.temperature
    shipped = load(revision.read_weights())
    expected = finished(best.seed).weights
    assert all(torch.equal(shipped[name], tensor) for name, tensor in expected.items())


def test_a_run_is_recorded(root: Path) -> None:
    result = open_revision(root, "mnist", "1").card.metrics.seeds[0]
    assert (result.finished, result.epochs, result.train_seconds) == (
        "2026-01-02T03:04:05Z",
        2,
        2.5,
    )
    for share in (result.validation_accuracy, result.test_accuracy, result.test_ece):
        assert 0 <= share <= 1


@pytest.mark.parametrize("engine", ["auto", "torch", "onnxruntime"])
def test_the_predictor_serves_the_accuracy_of_the_card(engine: str, root: Path) -> None:
    loaded = load_revision(root, "mnist", "1", engine)
    assert loaded.engine == ("torch" if engine == "torch" else "onnxruntime")
    batch = evaluation_tensors(DATA.test, CONTRACT.input).numpy()
    found = loaded.probabilities(batch).argmax(1)
    correct = int((found == DATA.test.labels).sum())
    metrics = loaded.card.metrics
    assert correct == metrics.test_correct
    assert round(correct / len(DATA.test), 4) == metrics.test_accuracy


def test_a_revision_is_not_published_twice(root: Path) -> None:
    before = (root / "mnist" / "1" / "model.json").read_bytes()
    with pytest.raises(RevisionExistsError):
        publish(settings(), DATA, CONTRACT, [finished(9)], root, "1")
    assert (root / "mnist" / "1" / "model.json").read_bytes() == before


def test_a_model_from_scratch_has_no_parent(tmp_path: Path) -> None:
    written = publish(settings(), DATA, CONTRACT, [finished(1)], tmp_path, "1")
    document = json.loads((written.folder / "model.json").read_text())
    assert "parent" not in document
    assert document["contract"]["labels"] == list(LABELS)


def result(seed: int, accuracy: float) -> SeedResult:
    return SeedResult(seed, "now", 3, 61.0, 0.98, accuracy, 0.02, 0.01, 1.1)


def test_the_summary_gives_mean_and_spread() -> None:
    results = (result(0, 0.90), result(1, 0.92), result(2, 0.94))
    lines = summary(results).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["0", "98.00%", "90.00%", "2.00%", "1.00%", "61"]
    assert lines[-1] == "test accuracy 92.00% ± 2.00% (standard deviation)"
    alone = summary((replace(results[0], seed=7),))
    assert alone.splitlines()[-1] == "test accuracy 90.00% ± 0.00% (standard deviation)"
