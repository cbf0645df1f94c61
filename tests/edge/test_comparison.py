import json

import pytest

from edge.comparison import compare


def v1(*predictions, **more):
    return json.dumps({"predictions": predictions, "model_version": "1", **more}).encode()


def test_who_answers_is_no_difference():
    found = compare(v1({"label": "7", "probability": 0.9}), v1({"label": "7"}, model_version="2"))
    assert found.agrees


def test_classes_and_the_largest_difference_of_numbers():
    one = v1({"label": "7", "probability": 0.9}, {"label": "1", "probability": 0.8})
    other = v1({"label": "7", "probability": 0.65}, {"label": "1", "probability": 0.79})
    found = compare(one, other)
    assert found.agrees and found.max_difference == pytest.approx(0.25)
    found = compare(one, v1({"label": "7"}, {"label": "2"}))
    assert not found.agrees
    assert (found.baseline, found.shadow) == ('["7", "1"]', '["7", "2"]')


def test_one_prediction_more_is_another_answer():
    assert not compare(v1({"label": "7"}), v1({"label": "7"}, {"label": "7"})).agrees


def test_answers_without_classes_agree_where_their_parts_do():
    outputs = {"outputs": [{"name": "embedding", "data": [0.1, 0.2]}]}
    other = {"outputs": [{"name": "embedding", "data": [0.1, 0.25]}]}
    found = compare(json.dumps(outputs).encode(), json.dumps(other).encode())
    assert found.agrees and found.max_difference == pytest.approx(0.05)
    assert not compare(b'{"outputs": [{"name": "x"}]}', json.dumps(other).encode()).agrees


def test_what_is_no_json_is_compared_byte_by_byte():
    assert compare(b"\x00\x01", b"\x00\x01").agrees
    assert compare(b"\x00\x01", b"\x00").baseline == "2 bytes"
