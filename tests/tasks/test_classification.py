from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest

from tasks import AnswerError, LabelsError, find_task
from tests.conftest import make_contract

TASK = find_task("classification")
CONTRACT = make_contract()


def answer(*predictions: object) -> bytes:
    return json.dumps({"predictions": list(predictions)}).encode()


def test_the_probe_fits_the_contract() -> None:
    probe = TASK.probe(CONTRACT)
    assert CONTRACT.input.accepts(probe.shape[1:])
    assert probe.dtype == np.float32


def test_a_question_is_base64_in_json() -> None:
    question = TASK.question(b"picture")
    (instance,) = json.loads(question.body)["instances"]
    assert base64.b64decode(instance["base64"]) == b"picture"
    assert question.media_type == "application/json"


def test_answers_are_right_or_wrong() -> None:
    found = TASK.read_answer(CONTRACT, answer({"label": "7"}))
    assert [TASK.score(CONTRACT, found, np.int64(n)) for n in (7, 1)] == [1.0, 0.0]
    assert TASK.same(CONTRACT, found, frozenset({7}))
    assert not TASK.same(CONTRACT, found, frozenset({1}))
    assert TASK.score_text(470.0, 500) == "470 of 500 right"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        answer(),
        answer({}, {}),
        answer({"label": "cat"}),
        answer({}),
        answer(3),
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(AnswerError):
        TASK.read_answer(CONTRACT, body)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros((2, 28, 28), np.uint8), "one per image"),
        (np.zeros(3, np.int64), "one per image"),
        (np.array([0, 10]), "0 to 9"),
        (np.array([-1, 0]), "0 to 9"),
        (np.array([0.0, 1.0]), "integers"),
    ],
)
def test_labels_that_do_not_fit(labels: np.ndarray, reason: str) -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    TASK.check_labels(CONTRACT, images, np.array([0, 9]))
    with pytest.raises(LabelsError, match=reason):
        TASK.check_labels(CONTRACT, images, labels)


def test_a_table_is_shown() -> None:
    top = [
        {"label": "Ankle boot", "probability": 0.5},
        {"label": "Bag", "probability": 0.3333},
        {"label": "Shirt", "probability": 0.00001},
    ]
    assert TASK.show(answer({"label": "Ankle boot", "top": top})).text.splitlines() == [
        "Ankle boot   50.00%  " + "█" * 15,
        "Bag          33.33%  " + "█" * 10,
        "Shirt         0.00%",
    ]
    full = TASK.show(answer({"top": [{"label": "7", "probability": 1.0}]})).text
    assert full == "7  100.00%  " + "█" * 30
    with pytest.raises(AnswerError):
        TASK.show(answer({"label": "7"}))


def test_the_sample_is_named_after_a_label_where_one_is() -> None:
    names = ["seven.png", "shirt.png", "aerial.tif", "ankle-boot.png"]
    clothes = make_contract()
    object.__setattr__(clothes, "labels", ("Bag", "Ankle boot", "Shirt"))
    assert TASK.sample(clothes, names) == "ankle-boot.png"
    assert TASK.sample(CONTRACT, names) == "seven.png"
    with pytest.raises(LookupError):
        TASK.sample(CONTRACT, ["aerial.tif"])


def test_labels_of_another_contract_are_read_by_their_names() -> None:
    other = replace(CONTRACT, labels=("ten", *reversed(CONTRACT.labels)))
    named = [
        TASK.read_answer_as(CONTRACT, other, answer({"label": label})) for label in ("7", "ten")
    ]
    assert named == [{7}, {len(CONTRACT.labels)}]
    with pytest.raises(AnswerError):
        TASK.read_answer_as(other, CONTRACT, answer({"label": "ten"}))
