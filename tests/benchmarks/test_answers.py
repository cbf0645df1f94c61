from __future__ import annotations

import json

import pytest

from benchmarks.answers import TOLERANCE, Expected, read_answers, right


@pytest.mark.parametrize(
    "document",
    [
        {"predictions": [{"class_id": 1, "probability": 0.75, "label": "1"}]},
        {"predictions": [[0.25, 0.75]]},
        [{"class_id": 1, "probability": 0.75}],
        {"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}]},
    ],
    ids=["v1", "v1 rows", "list", "v2"],
)
def test_all_forms_of_an_answer(document: object) -> None:
    assert read_answers(json.dumps(document).encode()) == [(1, 0.75)]


def test_an_answer_is_for_its_own_images_in_order() -> None:
    first, second = Expected(1, 0.75), Expected(2, 0.5)
    body = json.dumps([{"class_id": 1, "probability": 0.75}, {"class_id": 2, "probability": 0.5}])
    assert right(body.encode(), [first, second])
    assert not right(body.encode(), [second, first])
    assert not right(body.encode(), [first])
    assert not right(body.encode(), [first, second, second])


def test_probabilities_may_differ_a_little_and_no_more() -> None:
    body = json.dumps([{"class_id": 1, "probability": 0.75}]).encode()
    assert right(body, [Expected(1, 0.75 + 0.9 * TOLERANCE)])
    assert not right(body, [Expected(1, 0.75 + 1.1 * TOLERANCE)])
    assert right(body, [Expected(1)])


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b'{"outputs": []}', b'[{"class_id": 1}]'])
def test_nonsense_is_not_right(body: bytes) -> None:
    assert not right(body, [Expected(1)])
