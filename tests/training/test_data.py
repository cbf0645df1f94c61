from __future__ import annotations

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import make_contract
from tests.training.synthetic import images, settings
from training.data import (
    AugmentedBatches,
    LabelledImages,
    augmentation,
    data_folder,
    evaluation_tensors,
    load_data,
    mean_and_std,
    split_off,
    training_batches,
)
from training.settings import AUGMENTATION

SPEC = make_contract().input


def numbered(count: int) -> LabelledImages:
    """Images that hold their own index, so that each can be told from all others."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, 0, 0] = np.arange(count)
    return LabelledImages(pixels, np.arange(count))


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA", raising=False)
    assert data_folder() == Path("data")
    monkeypatch.setenv("DATA", "/from/variable")
    assert data_folder() == Path("/from/variable")
    assert data_folder("/from/option") == Path("/from/option")


def test_the_split_is_disjoint_complete_and_the_same_every_time() -> None:
    data = numbered(50)
    train, held_out = split_off(data, 12, seed=3)
    assert (len(train), len(held_out)) == (38, 12)
    assert set(train.labels) | set(held_out.labels) == set(range(50))
    assert not set(train.labels) & set(held_out.labels)
    for part in (train, held_out):
        assert part.images[:, 0, 0].tolist() == part.labels.tolist()
    again_train, again_held_out = split_off(data, 12, seed=3)
    assert again_train.labels.tolist() == train.labels.tolist()
    assert again_held_out.labels.tolist() == held_out.labels.tolist()


def test_another_seed_is_another_split() -> None:
    one, two = (set(split_off(numbered(50), 12, seed=s)[1].labels) for s in (1, 2))
    assert one != two


def test_the_split_does_not_depend_on_torchs_state() -> None:
    torch.manual_seed(1)
    one = split_off(numbered(50), 12, seed=3)[1].labels.tolist()
    torch.manual_seed(2)
    assert split_off(numbered(50), 12, seed=3)[1].labels.tolist() == one


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 0.0},
        {"flip": 1.0},
        {"shift": 0.1},
        {"erase": 1.0},
        {"degrees": 12.0, "shift": 0.1, "zoom": 0.15, "shear": 8.0},
        {"zoom": 0.2},
        {"shear": 5.0},
        {"flip": 0.5, "shift": 0.08, "erase": 0.5},
    ],
    ids=str,
)
def test_augmentation_keeps_shape_and_dtype(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    batch = torch.from_numpy(images(4).images).unsqueeze(1)
    before = batch.clone()
    found = augmentation(settings(**{"shift": 0.0, **changes}), SPEC)(batch)
    assert found.shape == batch.shape
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(batch, before)


def test_without_augmentation_training_sees_what_serving_sees() -> None:
    data = images(6)
    batch = torch.from_numpy(data.images).unsqueeze(1)
    found = augmentation(settings(shift=0.0), SPEC)(batch)
    # torchvision's v2 multiplies by 1/255 where serving divides by 255.
    torch.testing.assert_close(found, evaluation_tensors(data, SPEC), rtol=0, atol=1e-6)


def test_nothing_else_than_its_settings_shapes_a_view() -> None:
    values = {name: getattr(settings(erase=1.0, flip=1.0), name) for name in AUGMENTATION}
    views = augmentation(SimpleNamespace(**values), SPEC)  # type: ignore[arg-type]
    batch = torch.from_numpy(images(3).images).unsqueeze(1)
    assert views(batch).shape == batch.shape


def test_a_flip_mirrors() -> None:
    batch = torch.from_numpy(images(3).images).unsqueeze(1)
    plain = augmentation(settings(shift=0.0), SPEC)(batch)
    flipped = augmentation(settings(shift=0.0, flip=1.0), SPEC)(batch)
    assert torch.equal(flipped, plain.flip(-1))


def test_a_shift_fills_with_background() -> None:
    torch.manual_seed(0)
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    shifted = augmentation(settings(shift=0.25), SPEC)
    found = {round(float(v), 4) for _ in range(5) for v in shifted(white).unique()}
    black, full = (round((v - 0.1307) / 0.3081, 4) for v in (0.0, 1.0))
    assert found == {black, full}


def test_batches_keep_image_and_label_together() -> None:
    torch.manual_seed(0)
    data = numbered(20)
    dataset = AugmentedBatches(data, augmentation(settings(shift=0.0), SPEC), group=3)
    chosen = [7, 1, 19, 4, 0]
    batch, labels, soft = dataset[chosen]
    assert (batch.shape, soft) == ((5, 1, 28, 28), None)
    assert labels.tolist() == chosen
    pixels = (batch[:, 0, 0, 0] * 0.3081 + 0.1307) * 255
    assert pixels.round().int().tolist() == chosen


def test_an_epoch_draws_every_image_at_most_once_in_an_order_of_its_seed() -> None:
    def epoch(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        batches = training_batches(numbered(50), settings(), SPEC, generator)
        assert len(batches) == 3
        return [labels.tolist() for _, labels, _ in batches]

    first = epoch(1)
    assert [len(batch) for batch in first] == [16, 16, 16]
    drawn = [index for batch in first for index in batch]
    assert len(set(drawn)) == len(drawn)
    assert epoch(1) == first
    assert epoch(2) != first


def test_evaluation_goes_through_the_transformers_preprocessing() -> None:
    data = images(3)
    found = evaluation_tensors(data, SPEC)
    assert (found.shape, found.dtype) == ((3, 1, 28, 28), torch.float32)
    pixels = torch.from_numpy(data.images).float().unsqueeze(1)
    expected = (pixels / 255 - torch.tensor(0.1307)) / torch.tensor(0.3081)
    assert torch.equal(found, expected)


def test_mean_and_std() -> None:
    half = np.zeros((2, 28, 28), np.uint8)
    half[0] = 255
    assert mean_and_std(LabelledImages(half, np.zeros(2, np.int64))) == (0.5, 0.5)


def idx(array: NDArray[np.uint8]) -> bytes:
    """The format of the MNIST archives: type, rank, sizes, bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, name: str, train: LabelledImages, test: LabelledImages) -> None:
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for prefix, part in (("train", train), ("t10k", test)):
        content = {
            "images-idx3": idx(part.images),
            "labels-idx1": idx(part.labels.astype(np.uint8)),
        }
        for kind, data in content.items():
            with gzip.open(raw / f"{prefix}-{kind}-ubyte.gz", "wb") as file:
                file.write(data)


@pytest.mark.parametrize(
    ("name", "first", "last"), [("MNIST", "0", "9"), ("FashionMNIST", "T-shirt/top", "Ankle boot")]
)
def test_data_are_read_without_writing_beside_the_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: str, last: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    train, test = images(5), images(3, 1)
    write_mnist(tmp_path / "data", name, train, test)
    before = sorted(path.name for path in (tmp_path / "data").rglob("*"))
    loaded = load_data(name, tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == before
    np.testing.assert_array_equal(loaded.train.images, train.images)
    np.testing.assert_array_equal(loaded.train.labels, train.labels)
    np.testing.assert_array_equal(loaded.test.images, test.images)
    assert loaded.train.labels.dtype == np.int64
    assert (loaded.labels[0], loaded.labels[-1], len(loaded.labels)) == (first, last, 10)
    assert load_data(name, tmp_path / "data").digest == loaded.digest


def test_the_digest_is_over_pixels_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set()
    other = images(3, 1)
    relabelled = LabelledImages(other.images, (other.labels + 1) % 10)
    for number, test in enumerate((other, relabelled, images(3, 2))):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{number}"))
        write_mnist(tmp_path / str(number), "MNIST", images(5), test)
        digests.add(load_data("MNIST", tmp_path / str(number)).digest)
    assert len(digests) == 3


def test_data_that_cannot_be_had_says_where_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", offline)
    with pytest.raises(ValueError, match=r"MNIST is not in .* \(no network\); say where it is"):
        load_data("MNIST", tmp_path)
