from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from registry.datasets import Datasets
from registry.samples import Picture, Samples
from tests.conftest import ROOT
from tests.training.arrival.conftest import CLASSES, as_npz, draw
from training.arrival.arrive import arrive
from training.arrival.check import Against, Rules
from training.arrival.drift import drift
from training.arrival.likeness import copies
from training.arrival.live import against_live
from training.arrival.mislabelled import estimate
from training.arrival.reading import read_part


def smooth(count: int, seed: int) -> NDArray[np.uint8]:
    """Blurred noise: pictures that survive being made smaller."""
    blur = ImageFilter.GaussianBlur(2)
    noise, _ = draw(count, seed, 32)
    pictures = [Image.fromarray(image).filter(blur) for image in noise]
    return np.stack([np.asarray(p).astype(np.uint8) for p in pictures])


def test_copies_are_found_and_nothing_else() -> None:
    originals = smooth(60, 1)
    larger = np.stack([np.asarray(Image.fromarray(i).resize((57, 57))) for i in originals[:9]])
    darker = (originals[9:12] * 0.7 + 5).astype(np.uint8)
    flat = np.full((1, 32, 32), 7, np.uint8)
    given = [*smooth(30, 2), *larger, *darker, *flat]
    assert copies(given, list(originals)) == {30 + i: i for i in range(12)}
    assert copies(given, []) == {}


def test_a_part_of_copies_of_the_test_set_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    tests = Samples.of(list(smooth(60, 1)), ["boot"] * 60, CLASSES)
    larger = [np.asarray(Image.fromarray(i).resize((64, 64))) for i in smooth(60, 1)[:8]]
    np.savez(tmp_path / "part.npz", images=np.stack(larger), labels=["boot"] * 8)
    report = arrive(datasets, "clothes", tmp_path / "part.npz", Against(tests=tests)).report
    assert report is not None
    assert "0 of 8 pictures are in the pinned test set, and 8 are nearly" in report.refusals[0]


def test_drift_is_told_and_what_is_alike_is_not() -> None:
    images, labels = draw(600, 1)
    figures, said = drift(list(images), labels, list(draw(500, 2)[0]), draw(500, 2)[1])
    assert not said
    assert {name: figure["p"] > 0.001 for name, figure in figures.items()} == {
        "brightness": True,
        "contrast": True,
        "classes": True,
    }
    dark = list((images // 3).astype(np.uint8))
    figures, said = drift(dark, ["boot"] * 600, list(images), labels)
    assert figures["brightness"]["distance"] == 1
    assert figures["brightness"]["p"] < 1e-9
    assert [sentence.partition(":")[0] for sentence in said] == [
        "brightness",
        "contrast",
        "classes",
    ]
    assert "shirt had 50% and has 0%" in said[2] or "boot had 50% and has 100%" in said[2]


def answers(count: int, wrong: int, sure: float = 0.98) -> tuple[NDArray[np.float32], list[str]]:
    """Of a revision that is right but for the labels, of which the first are wrong."""
    labels = draw(count)[1]
    truth = np.array([CLASSES.index(label) for label in labels])
    truth[:wrong] = 1 - truth[:wrong]
    found = np.full((count, 2), 1 - sure, np.float32)
    found[np.arange(count), truth] = sure
    return found, labels


def test_the_share_of_wrong_labels_is_estimated() -> None:
    found = estimate(*answers(1000, 120), CLASSES)
    assert found.share == pytest.approx(0.102, abs=0.002)
    assert 0.06 < found.at_least < found.share
    assert len(found.suspects) == 50
    assert (found.suspects[0].label, found.suspects[0].answer) == ("boot", "shirt")
    assert estimate(*answers(1000, 20), CLASSES).share == 0
    unsure = estimate(*answers(1000, 300, sure=0.8), CLASSES)
    assert (unsure.share, unsure.sure) == (None, 0)


@pytest.mark.parametrize(("wrong", "taken"), [(6, True), (20, True), (60, False)])
def test_a_mislabelled_part_is_refused(
    datasets: Datasets, tmp_path: Path, wrong: int, taken: bool
) -> None:
    images, labels = draw(400, 1)

    def ask(pictures: Sequence[Picture]) -> NDArray[np.float32]:
        assert len(pictures) == 400
        return answers(400, wrong)[0]

    path = as_npz(tmp_path / "part.npz", images, labels)
    against = Against(classes=CLASSES, ask=ask, name="clothes/3")
    arrival = arrive(datasets, "clothes", path, against)
    assert arrival.report is not None
    assert (arrival.version is not None) == taken
    assert len(arrival.report.suspects) == min(wrong, 50)
    said = [warning for warning in arrival.report.warnings if "labels are wrong" in warning]
    assert bool(said) == (wrong == 20)
    if not taken:
        assert "13% of the labels are wrong (at least " in arrival.report.refusals[0]
        assert "60 of the 400 answers that clothes/3 is sure of" in arrival.report.refusals[0]
        again = arrive(datasets, "clothes", path, against, rules=Rules(max_mislabelled=0.5))
        assert again.version is not None


def test_the_report_has_pictures(datasets: Datasets, tmp_path: Path) -> None:
    images, labels = draw(40, 1)
    double = np.concatenate([images, images[:3]])
    arrive(
        datasets, "clothes", as_npz(tmp_path / "a|b.npz", double, [*labels, *labels[:3]]), Against()
    )
    files = datasets.report("clothes")
    assert set(files) == {"report.md", "report.json", "classes.png", "doubtful.png"}
    text = files["report.md"].decode()
    assert "**Accepted, 3 pictures left out.**" in text
    assert "| 40 | boot | is in it twice |" in text
    assert json.loads(files["report.json"])["figures"]["classes"] == {"boot": 22, "shirt": 21}
    (tmp_path / "classes.png").write_bytes(files["classes.png"])
    sheet = Image.open(tmp_path / "classes.png")
    assert sheet.size == (120 + 10 * 64, 2 * 64)
    assert len(set(sheet.convert("L").crop((130, 10, 700, 120)).tobytes())) > 50
    arrived = datasets.entries("clothes")[0].details["arrived"]
    assert datasets.report("clothes", arrived) == files


@pytest.mark.needs_data
def test_real_pictures_and_the_shipped_revision(
    datasets: Datasets, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", str(data))
    registry = datasets.registry
    against = against_live(registry, "fashion-mnist", "", ROOT / "models", "", "")
    assert against.name == "fashion-mnist/3"
    assert against.tests is not None
    assert len(against.tests) == 10_000
    raw = data / "FashionMNIST" / "raw"
    path = next(raw.glob("train-images-idx3-ubyte*"))
    part = read_part(path, names=against.classes).chosen(range(600))
    against = Against(classes=against.classes, ask=against.ask, name=against.name)
    clean = as_npz(tmp_path / "clean.npz", np.stack(part.images), part.labels)
    moved = [*part.labels[1:100], part.labels[0], *part.labels[100:]]
    wrong = as_npz(tmp_path / "wrong.npz", np.stack(part.images), moved)
    refused = arrive(datasets, "fashion-mnist", wrong, against)
    assert refused.version is None
    assert refused.report is not None
    assert "of the labels are wrong" in refused.report.refusals[0]
    assert arrive(datasets, "fashion-mnist", clean, against).version is not None
