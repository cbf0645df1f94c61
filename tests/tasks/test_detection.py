from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from artifact import Whole
from tasks import AnswerError, LabelsError
from tasks.detection import TASK
from tasks.detection.boxes import Boxes
from tests.transformer.detection.programs import box_contract

CONTRACT = box_contract(Whole(), "black")
IMAGES = np.zeros((2, 64, 64, 3), np.uint8)
LABELS = np.array(
    [[[10, 10, 30, 30, 0], [40, 40, 60, 60, 1]], [[5, 5, 9, 9, 1], [0, 0, 0, 0, -1]]], np.float32
)


def answer(*detections: dict[str, object]) -> bytes:
    return json.dumps({"predictions": [{"detections": list(detections)}]}).encode()


def detection(label: str, *box: float, score: float = 0.9) -> dict[str, object]:
    return {"label": label, "score": score, "box": list(box)}


def read(*detections: dict[str, object]) -> Boxes:
    return TASK.read_answer(CONTRACT, answer(*detections))


def test_the_score_is_the_average_precision_in_the_picture() -> None:
    TASK.check_labels(CONTRACT, IMAGES, LABELS)
    right = read(detection("red", 10, 10, 30, 30), detection("green", 40, 40, 60, 60))
    half = read(detection("red", 10, 10, 30, 30), detection("green", 0, 0, 9, 9))
    assert TASK.score(CONTRACT, right, LABELS[0]) == 1.0
    assert TASK.score(CONTRACT, half, LABELS[0]) == pytest.approx(0.5)
    assert TASK.score(CONTRACT, read(), LABELS[0]) == 0.0
    assert TASK.score(CONTRACT, read(detection("green", 5, 5, 9, 9)), LABELS[1]) == 1.0


def test_answers_that_differ_by_rounding_are_the_same() -> None:
    one = read(detection("red", 10, 10, 30, 30), detection("green", 40, 40, 60, 60))
    near = read(detection("green", 40, 40, 60, 60.2), detection("red", 10, 10, 30, 30))
    assert TASK.same(CONTRACT, one, near)
    assert TASK.same(CONTRACT, read(), read())
    for other in (
        read(detection("red", 10, 10, 30, 30)),
        read(detection("red", 10, 10, 30, 30), detection("red", 40, 40, 60, 60)),
        read(detection("red", 10, 10, 30, 30), detection("green", 44, 40, 60, 60)),
    ):
        assert not TASK.same(CONTRACT, one, other)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (LABELS[:1], "must be"),
        (LABELS[..., :4], "must be"),
        (np.full_like(LABELS, np.nan), "finite"),
        (np.where(LABELS == 1, 2, LABELS), "classes must be 0 to 1, or -1"),
        (LABELS[..., [2, 1, 0, 3, 4]], "before its left"),
    ],
)
def test_labels_that_are_no_boxes(labels: np.ndarray, reason: str) -> None:
    with pytest.raises(LabelsError, match=reason):
        TASK.check_labels(CONTRACT, IMAGES, labels)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"predictions": [{}]}',
        answer(detection("blue", 1, 2, 3, 4)),
        answer(detection("red", 1, 2, 3)),
        answer({"label": "red", "box": [1, 2, 3, 4]}),
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(AnswerError):
        TASK.read_answer(CONTRACT, body)


def test_it_is_shown_as_a_table() -> None:
    shown = TASK.show(answer(detection("red", 1, 2, 3, 4), detection("green", 5, 6, 7, 8)))
    assert shown.text.splitlines() == [
        "red     90.00%      1.0      2.0      3.0      4.0",
        "green   90.00%      5.0      6.0      7.0      8.0",
    ]
    assert TASK.show(answer()).text == "nothing found"
    with pytest.raises(AnswerError):
        TASK.show(b'{"predictions": [{"label": "7"}]}')


def test_boxes_of_other_labels_are_read_by_their_names() -> None:
    """A class that the labelled set cannot know is left out."""
    other = replace(CONTRACT, labels=("unheard of", *reversed(CONTRACT.labels)))
    right, strange = detection("red", 0, 0, 8, 8), detection("unheard of", 0, 0, 8, 8)
    found = TASK.read_answer_as(CONTRACT, other, answer(right, strange))
    assert found.labels.tolist() == [CONTRACT.labels.index("red")]
    assert TASK.score(CONTRACT, found, np.array([[0, 0, 8, 8, found.labels[0]]])) == 1.0
    with pytest.raises(AnswerError):
        TASK.read_answer_as(CONTRACT, CONTRACT, answer(strange))
