from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from registry.datasets import ALL, HELD_OUT, TRAIN, Datasets
from registry.entry import Action
from registry.errors import DamagedError, NotFoundError, RefusedError
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry
from registry.samples import Samples, picture_digest

CLASSES = ("shirt", "boot")


def pictures(count: int, seed: int, side: int = 6, classes: tuple[str, ...] = CLASSES) -> Samples:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, side, side), np.uint8)
    labels = [classes[i] for i in random.integers(0, len(classes), count)]
    return Samples.of(list(images), labels, classes)


@pytest.fixture
def datasets(registry: Registry) -> Datasets:
    return Datasets(registry)


def test_parts_make_versions_that_stay(datasets: Datasets) -> None:
    one = datasets.add("clothes", pictures(200, 1), why="the first")
    two = datasets.add("clothes", pictures(100, 2))
    assert datasets.version("clothes") == two
    assert datasets.version("clothes", one.digest) == one
    assert datasets.version("clothes", one.digest.removeprefix("sha256:")[:8]) == one
    assert [len(v.parts) for v in (one, two)] == [1, 2]
    assert two.parts[0] == one.parts[0]
    assert sum(sum(c.values()) for c in two.counts.values()) == 300
    assert [(e.action, e.why) for e in datasets.entries("clothes")] == [
        (Action.DATA_ADDED, "the first"),
        (Action.DATA_ADDED, ""),
    ]
    assert datasets.verify(two) == 300


def test_a_picture_is_on_one_side_in_every_part(datasets: Datasets) -> None:
    first = pictures(400, 1)
    datasets.add("clothes", first)
    version = datasets.add("clothes", pictures(300, 2))
    train, held_out = datasets.open(version, TRAIN), datasets.open(version, HELD_OUT)
    assert len(train) + len(held_out) == len(datasets.open(version, ALL)) == 700
    assert 40 <= len(held_out) <= 100
    assert not set(train.digests) & set(held_out.digests)
    again = datasets.add("others", Samples.of(list(first.images[::2]), ["a"] * 200, ("a",)))
    assert set(datasets.open(again, HELD_OUT).digests) <= set(held_out.digests)
    assert version.counts[HELD_OUT] == held_out.counts()
    last = datasets.open(version, HELD_OUT, [version.parts[-1].digest])
    assert 0 < len(last) < len(held_out)


def test_the_same_part_again_changes_nothing(datasets: Datasets) -> None:
    part = pictures(20, 1)
    version = datasets.add("clothes", part)
    turned = Samples.of(
        list(part.images[::-1]),
        [CLASSES[i] for i in part.labels[::-1]],
        CLASSES[::-1],
    )
    assert turned.digest == part.digest
    assert datasets.add("clothes", turned) == version
    assert len(datasets.entries("clothes")) == 1


def test_new_classes_come_after_those_there_are(datasets: Datasets) -> None:
    datasets.add("clothes", pictures(20, 1))
    version = datasets.add("clothes", pictures(20, 2, classes=("bag", "boot")))
    assert version.classes == ("shirt", "boot", "bag")
    found = datasets.open(version)
    second = datasets.open(version, parts=[version.parts[1].digest])
    assert found.counts()["bag"] == second.counts()["bag"] > 0
    assert second.counts()["shirt"] == 0


def test_pictures_of_several_sizes(datasets: Datasets) -> None:
    images = [np.full((3 + i, 4, 3), i, np.uint8) for i in range(3)] + [np.zeros((9, 2), np.uint8)]
    part = Samples.of(images, ["a", "b", "a", "b"], ("a", "b"))
    found = datasets.open(datasets.add("mixed", part))
    assert isinstance(found.images, tuple)
    assert {i.shape for i in found.images} == {i.shape for i in images}
    assert sorted(found.digests) == sorted(picture_digest(i) for i in images)


def test_all_of_a_part_on_one_side(datasets: Datasets) -> None:
    version = datasets.add("clothes", pictures(50, 1), split=HELD_OUT)
    assert len(datasets.open(version, HELD_OUT)) == 50
    assert len(datasets.open(version, TRAIN)) == 0


def test_writers_at_once_lose_no_part(registry: Registry) -> None:
    def write(seed: int) -> None:
        mine = Registry(registry.store, History(registry.store), f"writer-{seed}")
        Datasets(mine).add("clothes", pictures(5, seed))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(6)))
    version = Datasets(registry).version("clothes")
    assert {p.digest for p in version.parts} == {pictures(5, seed).digest for seed in range(6)}


def test_what_was_refused_is_told_once(datasets: Datasets) -> None:
    for _ in range(2):
        datasets.refuse("clothes", "sha256:" + "1" * 64, ["no label is known"])
    entry, *more = datasets.entries("clothes")
    assert (entry.action, entry.why, more) == (Action.DATA_REFUSED, "no label is known", [])
    assert datasets.newest("clothes") is None


@pytest.mark.parametrize(
    ("name", "split", "said"),
    [("../models", "", "cannot be the name"), ("clothes", "test", "is no split")],
)
def test_what_cannot_be(datasets: Datasets, name: str, split: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        datasets.add(name, pictures(2, 1), split)


def test_what_is_not_there(datasets: Datasets) -> None:
    with pytest.raises(NotFoundError, match="no data set clothes"):
        datasets.version("clothes")
    datasets.add("clothes", pictures(2, 1))
    for digest in ("ffff", ""):
        with pytest.raises(NotFoundError, match="version begins"):
            datasets.version("clothes", digest)
    with pytest.raises(NotFoundError, match="no report"):
        datasets.report("clothes")


def test_a_report_is_found_by_what_it_is_about(datasets: Datasets) -> None:
    kept = datasets.keep_report("clothes", {"report.md": b"good"})
    assert datasets.keep_report("clothes", {"report.md": b"good"}) == kept
    part = pictures(9, 1)
    datasets.add("clothes", part, report=kept)
    arrived = "sha256:" + "7" * 64
    datasets.refuse(
        "clothes", arrived, ["bad"], report=datasets.keep_report("clothes", {"a": b"b"})
    )
    assert datasets.report("clothes") == {"a": b"b"}
    assert datasets.report("clothes", "7777") == {"a": b"b"}
    assert datasets.report("clothes", part.digest) == {"report.md": b"good"}


@pytest.mark.parametrize("kind", ["parts", "versions"])
@pytest.mark.parametrize("change", ["missing", "another", "no"])
def test_a_changed_object_is_damaged(folder: FolderStore, kind: str, change: str) -> None:
    datasets = Datasets(Registry(folder, History(folder), "ada"))
    version = datasets.add("clothes", pictures(9, 1))
    other = datasets.add("other", pictures(9, 2))
    (key,) = folder.keys(f"data/clothes/{kind}/")
    folder.delete(key)
    if change == "another":
        (another,) = folder.keys(f"data/other/{kind}/")
        folder.create(key, folder.read(another).data)
    elif change == "no":
        folder.create(key, b"{}")
    with pytest.raises(DamagedError):
        datasets.verify(version if kind == "parts" else datasets.version("clothes"))
    assert datasets.verify(other) == 9
