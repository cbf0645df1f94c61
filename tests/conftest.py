"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from artifact import (
    Architecture,
    Contract,
    DataSource,
    ImageInput,
    Metrics,
    ModelCard,
    RasterInput,
    Revision,
    Scores,
    SeedResult,
    SegmentationContract,
    SegmentationMetrics,
    SegmentationRun,
    Weights,
    write_revision,
)
from predictor.networks import build_network
from serving.rendering import failures

ROOT = Path(__file__).parent.parent

pytest_plugins = ["tests.needs"]
SHIPPED = ROOT / "models"

ARCHITECTURE = Architecture(
    "residual-cnn",
    {
        "channels": 1,
        "classes": 10,
        "stem": 8,
        "widths": [8, 16],
        "hidden": [8, 8],
        "blocks": [1, 0],
    },
)

SCORES = Scores({"red": 0.5, "green": 0.25, "blue": 0.75}, 0.5, 0.4, 0.8)
SEGMENTATION_METRICS = SegmentationMetrics(
    0,
    0.5,
    SCORES,
    SCORES,
    SCORES,
    (SegmentationRun(0, "2026-01-02T03:04:05Z", 3, 9.5, 0.5, SCORES),),
)

torch.set_num_threads(1)


def make_contract(**changes: object) -> Contract:
    """A classification contract like the shipped ones; ``changes`` go to its input."""
    spec: dict[str, object] = {
        "name": "image",
        "height": 28,
        "width": 28,
        "mode": "L",
        "mean": (0.1307,),
        "std": (0.3081,),
        "layout": "NCHW",
        "dtype": "FP32",
        "background": "black",
    }
    spec.update(changes)
    return Contract(
        task="classification",
        input=ImageInput(**spec),  # type: ignore[arg-type]
        outputs=("probabilities",),
        labels=tuple("0123456789"),
    )


def make_segmentation_contract(**changes: object) -> SegmentationContract:
    """A segmentation contract of three classes; ``changes`` go to its input."""
    spec: dict[str, object] = {
        "name": "image",
        "layout": "NCHW",
        "dtype": "UINT8",
        "bands": ("red", "green", "blue"),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "full_scale": {"uint8": 255, "uint16": 65535, "float32": 1},
        "reduction": 2,
        "tile": 64,
        "overlap": 16,
        "multiple": 16,
    }
    spec.update(changes)
    return SegmentationContract(
        task="segmentation",
        input=RasterInput(**spec),  # type: ignore[arg-type]
        outputs=("probabilities",),
        labels=("none", "red", "green", "blue"),
        colours=((9, 9, 9), (255, 0, 0), (0, 255, 0), (0, 0, 255)),
        void=0,
    )


def make_card(name: str = "mnist", revision: str = "1", **changes: object) -> ModelCard:
    """A valid card of a small network."""
    result = SeedResult(
        seed=0,
        finished="2026-01-02T03:04:05Z",
        epochs=1,
        train_seconds=1.5,
        validation_accuracy=0.5,
        test_accuracy=0.5,
        test_ece_before=0.1,
        test_ece=0.05,
        temperature=1.25,
    )
    fields: dict[str, object] = {
        "name": name,
        "revision": revision,
        "created": "2026-01-02T03:04:05Z",
        "architecture": ARCHITECTURE,
        "contract": make_contract(),
        "temperature": 1.25,
        "weights": Weights("weights.safetensors", "sha256:" + "0" * 64, 1),
        "parent": None,
        "data": DataSource("MNIST", "sha256:" + "1" * 64, 10, 5, 5),
        "training": {"epochs": 1},
        "metrics": Metrics(0, 0.5, 3, 0.05, (result,)),
        "libraries": {"torch": "2.13.0"},
    }
    fields.update(changes)
    return ModelCard(**fields)  # type: ignore[arg-type]


def make_segmentation_card(name: str = "land-cover", revision: str = "1") -> ModelCard:
    """A valid card of a segmentation model of three classes."""
    return make_card(
        name,
        revision,
        contract=make_segmentation_contract(),
        metrics=SEGMENTATION_METRICS,
        data=DataSource("dubai-aerial", "sha256:" + "1" * 64, 10, 5, 5),
    )


def make_weights(seed: int, architecture: Architecture = ARCHITECTURE) -> bytes:
    """A safetensors file of random weights for ``architecture``."""
    torch.manual_seed(seed)
    network = build_network(architecture)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return save(tensors)


def write_small(root: Path, name: str, revision: str, seed: int) -> Revision:
    """A complete revision of a small random network under ``root``."""
    return write_revision(root, make_card(name, revision), make_weights(seed))


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with ``mnist`` and ``fashion-mnist``, two small random revisions of each."""
    root = tmp_path_factory.mktemp("models")
    for seed, (name, revision) in enumerate(
        [("mnist", "1"), ("mnist", "2"), ("fashion-mnist", "1"), ("fashion-mnist", "2")]
    ):
        write_small(root, name, revision, seed)
    return root


def find_data() -> Path | None:
    """The folder with the real data sets, if there is one on this machine."""
    for folder in (os.environ.get("DATA"), ROOT / "data", ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "FashionMNIST" / "raw").is_dir():
            return Path(folder)
    return None


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data sets; skips where they are not."""
    from tests.needs import missing

    folder = find_data()
    if folder is None:
        missing("data", "the real data sets are neither in DATA, data/ nor ../shared/data")
    return folder


@pytest.fixture(autouse=True)
def every_failure_is_logged() -> None:
    """What other tests have logged in this second is not held against this one."""
    failures.forget()


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Password hashes that take no time, where they are not the point."""
    from argon2 import PasswordHasher

    from accounts import passwords

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS_HASH", hasher.hash("nobody's"))
