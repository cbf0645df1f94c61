from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import training.__main__ as entry
from artifact import open_revision
from registry.datasets import Datasets, Version
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry
from registry.samples import Samples
from tests.conftest import make_contract
from tests.training.synthetic import LABELS, data, images
from tests.training.test_main import SMALL
from training import versions
from training.versions import load_version, named


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Datasets:
    store = FolderStore(tmp_path / "store")
    store.set_up()
    monkeypatch.setenv("VISION_REGISTRY", str(tmp_path / "store"))
    return Datasets(Registry(store, History(store), "ada"))


def add(datasets: Datasets, name: str, count: int, seed: int, **more: str) -> Version:
    found = images(count, seed)
    labels = [LABELS[label] for label in found.labels]
    return datasets.add(name, Samples.of(list(found.images), labels, LABELS), **more)


def train(folder: Path, *more: str) -> int:
    places = [f"--models={folder / 'models'}", f"--runs={folder / 'runs'}"]
    return entry.main([*places, *SMALL, *more])


def test_from_a_version_to_a_revision_and_on(
    datasets: Datasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = add(datasets, "digits", 90, 0)
    tests = add(datasets, "digits-tests", 30, 9, split="heldout")
    told = ["--data=registry:digits", "--tests=registry:digits-tests"]
    assert train(tmp_path, *told) == 0
    card = open_revision(tmp_path / "models", "mnist", "1").card
    assert card.data is not None
    assert card.data.digest == version.digest
    assert card.training["data"] == f"registry:{version.identity}"
    assert (card.data.name, card.data.test) == ("digits", tests.counts["heldout"]["0"] + 26)
    held_out = len(datasets.open(version, "heldout"))
    assert card.data.train + card.data.validation == 90 - held_out
    # More data: another run, which goes on from the revision, with its contract.
    after = add(datasets, "digits", 60, 1)
    assert train(tmp_path, *told, "--parent=mnist/1") == 0
    assert "finished earlier" not in capsys.readouterr().out
    child = open_revision(tmp_path / "models", "mnist", "2").card
    assert child.data is not None
    assert (child.data.digest, child.parent) == (after.digest, "mnist/1")
    assert child.contract == card.contract
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_reference_gets_its_whole_digest(datasets: Datasets) -> None:
    first = add(datasets, "digits", 20, 0)
    second = add(datasets, "digits", 20, 1)
    assert named("registry:digits") == f"registry:{second.identity}"
    assert named(f"registry:digits@{first.digest[7:15]}") == f"registry:{first.identity}"
    with pytest.raises(ValueError, match="registry:clothes: there is no data set clothes"):
        named("registry:clothes")


def test_the_official_test_set_is_labelled_by_names(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "load_data", lambda name, folder: data())
    add(datasets, "digits", 40, 0)
    turned = LABELS[::-1]
    found = load_version("registry:digits", "MNIST", "", None, turned)
    assert found.name == "MNIST"
    assert found.test.labels.tolist() == (9 - data().test.labels).tolist()
    samples = datasets.open(datasets.version("digits"), "train")
    assert [turned[i] for i in found.train.labels] == [LABELS[i] for i in samples.labels]
    few = Samples.of(list(samples.images[:5]), ["0"] * 5, LABELS[:9])
    datasets.add("few", few, split="train")
    with pytest.raises(ValueError, match="has the class 9, which the data have not"):
        load_version("registry:few", "MNIST", "", None, ())


def test_pictures_of_other_sizes_are_brought_to_the_contract(datasets: Datasets) -> None:
    pictures = [np.zeros((56, 56 + 2 * (i % 2)), np.uint8) for i in range(20)]
    for i, picture in enumerate(pictures):
        picture[14 + i : 42, 14:42] = 255
    labels = [LABELS[i % 10] for i in range(20)]
    datasets.add("mixed", Samples.of(pictures, labels, LABELS), split="train")
    told = ("registry:mixed", "MNIST", "registry:mixed")
    with pytest.raises(ValueError, match="must be grey and of one size"):
        load_version(*told, None, ())
    found = load_version(*told, make_contract().input, LABELS)  # type: ignore[arg-type]
    assert found.train.images.shape == (20, 28, 28)
    assert found.train.images[:, 0, 0].max() == 0
    assert found.train.images[:, 18, 14].min() > 200


def test_a_class_that_the_model_has_not(datasets: Datasets) -> None:
    add(datasets, "digits", 40, 0)
    with pytest.raises(ValueError, match="has the class 9, which the model has not"):
        load_version("registry:digits", "MNIST", "", None, LABELS[:9])


def test_masks_come_from_a_folder(
    datasets: Datasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(datasets, "digits", 10, 0)
    assert entry.main(["--preset=land-cover", "--data=registry:digits", f"--runs={tmp_path}"]) == 1
    assert "is for classifiers" in capsys.readouterr().err
