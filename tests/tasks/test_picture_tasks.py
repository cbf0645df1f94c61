"""Embeddings, keypoints and numbers: what is right, what is the same, what is no answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from artifact import EmbeddingContract, ImageInput, KeypointsContract, RegressionContract
from tasks import AnswerError, LabelsError, Task
from tasks.embedding import TASK as EMBEDDING
from tasks.embedding.task import recall_at
from tasks.keypoints import TASK as KEYPOINTS
from tasks.regression import TASK as REGRESSION
from tests.conftest import make_contract

INPUT = make_contract().input_as(ImageInput)
VECTORS = EmbeddingContract("embedding", INPUT, ("vector",), dimension=2)
POINTS = KeypointsContract("keypoints", INPUT, ("points",), ("nose", "tail"), "share")
NUMBERS = RegressionContract(
    "regression", INPUT, ("numbers",), ("age", "size"), (1, 1), (0, 0), ("years", ""), (10, 2)
)
IMAGES = np.zeros((1, 30, 40), np.uint8)


def body(prediction: object) -> bytes:
    return json.dumps({"predictions": [prediction]}).encode()


def points(*places: tuple[str, float, float]) -> bytes:
    found = [{"name": name, "x": x, "y": y} for name, x, y in places]
    return body({"width": 40, "height": 30, "keypoints": found})


def numbers(age: float, size: float) -> bytes:
    named = [{"label": "size", "value": size}, {"label": "age", "value": age, "unit": "years"}]
    return body({"values": named})


def test_an_embedding_is_as_right_as_its_direction() -> None:
    label = np.array([[3.0, 4.0]])
    EMBEDDING.check_labels(VECTORS, IMAGES, label)
    right, other = (
        EMBEDDING.read_answer(VECTORS, body({"embedding": vector}))
        for vector in ([0.6, 0.8], [0.8, -0.6])
    )
    assert EMBEDDING.score(VECTORS, right, label[0]) == pytest.approx(1.0)
    assert EMBEDDING.score(VECTORS, other, label[0]) == pytest.approx(0.0)
    assert EMBEDDING.same(VECTORS, right, right + 1e-4)
    assert not EMBEDDING.same(VECTORS, right, other)
    assert EMBEDDING.show(body({"embedding": [0.6, 0.8]})).text == "2 numbers:  +0.6000  +0.8000"


def test_recall_counts_who_finds_one_of_his_class() -> None:
    angles = np.array([0.0, 0.1, 0.15, 1.0, 3.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    classes = np.array([0, 1, 1, 0, 2])
    # The first one's nearest is of another class, its third is its own; the last is alone.
    assert recall_at(1, vectors, classes) == 0.5
    assert recall_at(3, vectors, classes) == 1.0
    assert recall_at(1, vectors, 5 * vectors) == 1.0
    assert recall_at(1, vectors, vectors[::-1]) == pytest.approx(0.2)


def test_points_are_right_by_their_distance() -> None:
    label = np.array([[[10.0, 10.0], [np.nan, np.nan]]])
    KEYPOINTS.check_labels(POINTS, IMAGES, label)
    right = KEYPOINTS.read_answer(POINTS, points(("tail", 1, 1), ("nose", 10, 10)))
    off = KEYPOINTS.read_answer(POINTS, points(("tail", 1, 1), ("nose", 11.25, 10)))
    assert KEYPOINTS.score(POINTS, right, label[0]) == 1.0
    assert KEYPOINTS.score(POINTS, off, label[0]) == pytest.approx(0.5)
    assert KEYPOINTS.measures(POINTS, [off], label) == {"mean error": pytest.approx(0.025)}
    assert KEYPOINTS.same(POINTS, right, right)
    assert not KEYPOINTS.same(POINTS, right, off)
    shown = KEYPOINTS.show(points(("nose", 10, 20.25)))
    assert shown.text.split() == ["nose", "10.0", "20.2"]


def test_numbers_are_right_by_their_scale() -> None:
    label = np.array([[40, 2]])
    REGRESSION.check_labels(NUMBERS, IMAGES, label)
    answer = REGRESSION.read_answer(NUMBERS, numbers(45, 2))
    assert REGRESSION.score(NUMBERS, answer, label[0]) == pytest.approx(0.75)
    assert REGRESSION.measures(NUMBERS, [answer], label) == {
        "mean absolute error, age": 5.0,
        "mean absolute error, size": 0.0,
    }
    assert REGRESSION.same(NUMBERS, answer, answer + 0.01)
    assert not REGRESSION.same(NUMBERS, answer, answer + 0.1)
    assert REGRESSION.show(numbers(45, 2)).text.splitlines()[1].split() == ["age", "45", "years"]


@pytest.mark.parametrize(
    ("task", "contract", "answer"),
    [
        (EMBEDDING, VECTORS, body({"embedding": [1]})),
        (EMBEDDING, VECTORS, body({"embedding": None})),
        (EMBEDDING, VECTORS, b'{"predictions": [{"embedding": [1, NaN]}]}'),
        (KEYPOINTS, POINTS, points(("nose", 1, 1))),
        (KEYPOINTS, POINTS, body({"keypoints": []})),
        (REGRESSION, NUMBERS, body({"values": [{"label": "age", "value": 1}]})),
        (REGRESSION, NUMBERS, b'{"predictions": []}'),
    ],
)
def test_what_is_no_answer(task: Task, contract: object, answer: bytes) -> None:
    with pytest.raises(AnswerError):
        task.read_answer(contract, answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "contract", "labels"),
    [
        (EMBEDDING, VECTORS, np.zeros((1, 2))),
        (EMBEDDING, VECTORS, np.ones((1, 3))),
        (KEYPOINTS, POINTS, np.full((1, 2, 2), np.nan)),
        (KEYPOINTS, POINTS, np.ones((1, 3, 2))),
        (REGRESSION, NUMBERS, np.ones((1, 3))),
        (REGRESSION, NUMBERS, np.full((1, 2), np.inf)),
    ],
)
def test_labels_of_another_kind(task: Task, contract: object, labels: np.ndarray) -> None:
    with pytest.raises(LabelsError):
        task.check_labels(contract, IMAGES, labels)  # type: ignore[arg-type]
