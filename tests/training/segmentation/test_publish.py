from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from artifact import Architecture, Revision, SegmentationMetrics
from predictor.networks import build_network
from training.loop import Epoch, RunResult
from training.segmentation.data import LABELS, AerialData, AnnotatedImage
from training.segmentation.publish import average, contract_for, halved, publish, summary
from training.segmentation.settings import SegmentationSettings

ARGUMENTS = {
    "channels": 3, "classes": 6, "patch": 2, "widths": [4, 4], "encoders": [0, 0], "decoders": [0],
}  # fmt: skip


def image(name: str, seed: int) -> AnnotatedImage:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (24, 32, 3), np.uint8)
    return AnnotatedImage(name, pixels, random.integers(0, len(LABELS), (24, 32), np.uint8))


DATA = AerialData(
    "squares",
    (image("t1_p001", 1), image("t2_p001", 2)),
    (image("t1_p009", 3),),
    (image("t1_p003", 4), image("t2_p003", 5)),
    "sha256:" + "2" * 64,
)


def finished(seed: int) -> RunResult:
    torch.manual_seed(seed)
    network = build_network(Architecture("u-net", ARGUMENTS))
    row = Epoch(1, 0.1, 2.0, 1.5, 0.25, 1.25, 0.2)
    weights = {k: v.detach().clone().contiguous() for k, v in network.state_dict().items()}
    return RunResult(seed, "2026-01-02T03:04:05Z", weights, [row])


def published(root: Path, runs: list[RunResult], **changes: Any) -> Revision:
    settings = SegmentationSettings(arguments=ARGUMENTS, tile=64, overlap=16, **changes)
    return publish(settings, DATA, contract_for(DATA, settings), runs, root, "1")


def metrics_of(revision: Revision) -> SegmentationMetrics:
    found = revision.card.metrics
    assert isinstance(found, SegmentationMetrics)
    return found


def test_the_best_run_on_the_validation_images_is_shipped(tmp_path: Path) -> None:
    runs = [finished(seed) for seed in (3, 4, 5)]
    revision = published(tmp_path, runs)
    metrics = metrics_of(revision)
    best = max(metrics.seeds, key=lambda run: run.validation_mean_iou)
    assert metrics.shipped_seed == best.seed
    assert (metrics.validation_mean_iou, metrics.test) == (best.validation_mean_iou, best.test)
    shipped = load(revision.read_weights())
    assert all(torch.equal(shipped[k], v) for k, v in halved(finished(best.seed).weights).items())
    assert "average" not in summary(metrics)


def test_or_the_average_of_all_runs(tmp_path: Path) -> None:
    runs = [finished(seed) for seed in (3, 4)]
    revision = published(tmp_path, runs, merge="average")
    metrics = metrics_of(revision)
    assert metrics.shipped_seed is None
    assert [run.seed for run in metrics.seeds] == [3, 4]
    shipped = load(revision.read_weights())
    for name, tensor in shipped.items():
        one, other = (run.weights[name] for run in runs)
        if tensor.is_floating_point():
            assert torch.allclose(tensor.float(), (one + other) / 2, atol=1e-3)
        else:
            assert torch.equal(tensor, one)
    assert "average" in summary(metrics)


def test_one_run_is_its_own_average(tmp_path: Path) -> None:
    assert metrics_of(published(tmp_path, [finished(3)], merge="average")).shipped_seed == 3


def test_the_average_of_equals_is_each_of_them() -> None:
    weights = finished(3).weights
    found = average([weights, weights])
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("name", ["curves.png", "examples.png"])
def test_pictures_lie_beside_it(tmp_path: Path, name: str) -> None:
    revision = published(tmp_path, [finished(3)])
    assert (revision.folder / name).read_bytes().startswith(b"\x89PNG")
