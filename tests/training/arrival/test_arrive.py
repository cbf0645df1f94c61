from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from registry.datasets import Datasets
from registry.entry import Action
from registry.samples import Samples
from tests.training.arrival.conftest import CLASSES, as_folders, as_npz, draw
from training.arrival.arrive import arrive
from training.arrival.check import Against

Make = Callable[..., Path]


def test_a_part_is_added_once(datasets: Datasets, npz: Make, tmp_path: Path) -> None:
    arrival = arrive(datasets, "clothes", npz(), Against(), why="spring")
    assert arrival.version is not None
    assert arrival.is_new
    assert arrival.version == datasets.version("clothes")
    again = arrive(datasets, "clothes", as_folders(tmp_path / "f", *draw(20)), Against())
    assert (again.version, again.report, again.is_new) == (arrival.version, None, False)
    assert [entry.why for entry in datasets.entries("clothes")] == ["spring"]


def test_labels_are_in_the_order_of_the_card(datasets: Datasets, npz: Make) -> None:
    against = Against(classes=("shirt", "sandal", "boot"))
    version = arrive(datasets, "clothes", npz(), against).version
    assert version is not None
    assert version.classes == against.classes
    assert sum(counts["sandal"] for counts in version.counts.values()) == 0


def test_unknown_labels_are_refused(datasets: Datasets, npz: Make) -> None:
    arrival = arrive(datasets, "clothes", npz(), Against(classes=("boot", "sandal")))
    assert arrival.version is None
    assert arrival.report is not None
    (said,) = arrival.report.refusals
    assert "does not know the class 'shirt' of 10 pictures; it knows boot, sandal" in said
    (entry,) = datasets.entries("clothes")
    assert (entry.action, entry.details["refusals"]) == (Action.DATA_REFUSED, [said])
    assert datasets.newest("clothes") is None


def test_a_part_with_something_else_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    as_folders(tmp_path / "part", *draw(4))
    (tmp_path / "part" / "boot" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = arrive(datasets, "clothes", tmp_path / "part", Against()).report
    assert report is not None
    assert "1 picture cannot be read, the first of them boot/cut.png: " in report.refusals[0]


def test_duplicates_are_left_out(datasets: Datasets, npz: Make, tmp_path: Path) -> None:
    arrive(datasets, "clothes", npz(20, 1), Against())
    images, labels = draw(30, 2)
    earlier, names = draw(20, 1)
    images = np.concatenate([images, earlier[:5], images[:2], images[4:5]])
    labels = [*labels, *names[:5], *labels[:2], CLASSES[1]]
    arrival = arrive(datasets, "clothes", as_npz(tmp_path / "next.npz", images, labels), Against())
    assert arrival.report is not None
    assert arrival.report.figures["duplicates"] == {
        "within": 2,
        "earlier": 5,
        "contradictory": 2,
    }
    assert arrival.report.left_out[4] == "is in it as boot and as shirt"
    assert arrival.version is not None
    assert len(datasets.open(arrival.version)) == 20 + 29


def test_what_is_there_already_is_refused(datasets: Datasets, npz: Make, tmp_path: Path) -> None:
    arrive(datasets, "clothes", npz(20, 1), Against())
    images, labels = draw(20, 1)
    half = as_npz(tmp_path / "half.npz", images[:12], labels[:12])
    report = arrive(datasets, "clothes", half, Against()).report
    assert report is not None
    assert "12 of 12 pictures are in it twice or in an earlier part" in report.refusals[0]


def test_the_test_set_stays_out(datasets: Datasets, npz: Make, tmp_path: Path) -> None:
    tests = Samples.of(*(list(item) for item in draw(50, 9)), CLASSES)  # type: ignore[misc]
    images, labels = draw(200, 2)
    one = np.concatenate([images, np.asarray(tests.images)[:1]])
    path = as_npz(tmp_path / "one.npz", one, [*labels, "boot"])
    arrival = arrive(datasets, "clothes", path, Against(tests=tests))
    assert arrival.report is not None
    assert arrival.report.left_out == {200: "is in the pinned test set"}
    assert arrival.version is not None
    assert not set(datasets.open(arrival.version).digests) & set(tests.digests)
    many = np.concatenate([images, np.asarray(tests.images)[:9]])
    path = as_npz(tmp_path / "many.npz", many, [*labels, *["boot"] * 9])
    report = arrive(datasets, "others", path, Against(tests=tests)).report
    assert report is not None
    assert "9 of 209 pictures are in the pinned test set" in report.refusals[0]
