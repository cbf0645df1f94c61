from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from registry.datasets import Datasets
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry

CLASSES = ("boot", "shirt")
Pictures = tuple[NDArray[np.uint8], list[str]]


def draw(count: int, seed: int = 1, side: int = 12) -> Pictures:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, side, side), np.uint8)
    return images, [CLASSES[i % 2] for i in range(count)]


def as_npz(path: Path, images: NDArray[np.uint8], labels: list[str]) -> Path:
    np.savez(path, images=images, labels=np.array(labels))
    return path


def as_folders(root: Path, images: NDArray[np.uint8], labels: list[str]) -> Path:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (root / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / label / f"{index}.png")
    return root


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    store = FolderStore(tmp_path / "store")
    store.set_up()
    return Datasets(Registry(store, History(store), "ada"))


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """A part of so many pictures, in a file."""

    def make(count: int = 20, seed: int = 1, name: str = "part") -> Path:
        return as_npz(tmp_path / f"{name}.npz", *draw(count, seed))

    return make
