from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from tasks import AnswerError, LabelsError, find_task
from tests.conftest import make_segmentation_contract

TASK = find_task("segmentation")
CONTRACT = make_segmentation_contract()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_the_probe_is_the_smallest_tile() -> None:
    probe = TASK.probe(CONTRACT)
    assert probe.shape == (1, 3, 16, 16)
    assert probe.dtype == np.uint8
    assert CONTRACT.input.accepts(probe.shape[1:])


def test_a_mask_comes_back_as_a_numpy_file() -> None:
    question = TASK.question(b"picture")
    assert (question.body, question.accept) == (b"picture", "application/x-npy")
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (TASK.read_answer(CONTRACT, npy(mask)) == mask).all()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", npy(np.zeros(3, np.uint8)), npy(np.zeros((2, 2))), npy(np.zeros((2, 2)))[:-9]],
)
def test_what_is_no_mask(body: bytes) -> None:
    with pytest.raises(AnswerError):
        TASK.read_answer(CONTRACT, body)


def test_the_score_is_the_mean_iou_of_the_classes_that_occur() -> None:
    label = np.array([[1, 1, 2, 0], [1, 1, 2, 0]], np.uint8)
    assert TASK.score(CONTRACT, label, label) == 1.0
    # Where nobody annotated, anything may be found.
    assert TASK.score(CONTRACT, np.where(label == 0, 3, label).astype(np.uint8), label) == 1.0
    half = np.array([[1, 1, 2, 0], [2, 2, 2, 0]], np.uint8)
    # Class 1: 2 of 4; class 2: 2 of 4.
    assert TASK.score(CONTRACT, half, label) == pytest.approx(0.5)
    third = np.array([[1, 1, 3, 0], [1, 1, 3, 0]], np.uint8)
    # Class 1: 4 of 4; class 2: none; class 3 was found where there is none.
    assert TASK.score(CONTRACT, third, label) == pytest.approx(1 / 3)
    missing = np.full_like(label, 255)
    assert TASK.score(CONTRACT, missing, label) == 0.0
    assert TASK.score_text(1.5, 2) == "mean IoU 0.750 on 2"


def test_a_mask_of_another_size_is_no_answer() -> None:
    with pytest.raises(AnswerError):
        TASK.score(CONTRACT, np.ones((2, 2), np.uint8), np.ones((2, 3), np.uint8))


def test_masks_that_differ_in_few_pixels_say_the_same() -> None:
    one = np.ones((20, 20), np.uint8)
    other = one.copy()
    other[0, :4] = 2
    assert TASK.same(CONTRACT, one, other)
    other[0, 4] = 2
    assert not TASK.same(CONTRACT, one, other)
    assert not TASK.same(CONTRACT, one, one[:10])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.ones(2, np.uint8), "one per image"),
        (np.ones((2, 4, 5), np.uint8), "of its size"),
        (np.ones((2, 4, 4), np.int64), "uint8"),
        (np.full((2, 4, 4), 4, np.uint8), "0 to 3"),
        (np.zeros((2, 4, 4), np.uint8), "no annotated pixel"),
    ],
)
def test_labels_that_do_not_fit(labels: np.ndarray, reason: str) -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    TASK.check_labels(CONTRACT, images, np.ones((2, 4, 4), np.uint8))
    with pytest.raises(LabelsError, match=reason):
        TASK.check_labels(CONTRACT, images, labels)


def test_an_overlay_is_shown() -> None:
    shown = TASK.show(b"\x89PNG...")
    assert (shown.text, shown.file, shown.suffix) == ("", b"\x89PNG...", ".png")
    with pytest.raises(AnswerError):
        TASK.show(b"{}")


def test_the_sample_and_how_it_is_sent() -> None:
    assert TASK.sample(CONTRACT, ["seven.png", "aerial.tif"]) == "aerial.tif"
    command = TASK.curl("http://x/v1/models/m:predict", "samples/a b.tif", "m", "-H 'Host: y'")
    assert command == (
        "curl -s -H 'Host: y' -F file=@'samples/a b.tif' "
        "'http://x/v1/models/m:predict?output=png' -o m.png"
    )


def test_masks_of_other_labels_are_read_by_their_names() -> None:
    other = replace(CONTRACT, labels=("none", "blue", "red", "sea"))
    mask = np.array([[0, 1], [2, 3]], np.uint8)
    found = TASK.read_answer_as(CONTRACT, other, npy(mask))
    assert found.tolist() == [[0, 3], [1, 255]]  # blue, red, and what CONTRACT does not have
