from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from artifact import CardError
from serving.errors import BadPredictorAnswerError
from tests.conftest import make_contract
from transformer.classification.answers import Classification
from transformer.classification.options import ClassificationOptions

CONTRACT = replace(make_contract(), labels=("cat", "dog", "owl", "yak"))
TASK = Classification(CONTRACT)
PROBABILITIES = np.array([[0.1, 0.2, 0.6, 0.1], [0.7, 0.05, 0.05, 0.2]], np.float32)


def test_predictions_keep_the_order_of_instances_and_rank_the_classes() -> None:
    assert TASK.predictions(PROBABILITIES, ClassificationOptions(), 2) == [
        {
            "label": "owl",
            "probability": 0.6,
            "class_id": 2,
            "top": [{"label": "owl", "probability": 0.6}, {"label": "dog", "probability": 0.2}],
        },
        {
            "label": "cat",
            "probability": 0.7,
            "class_id": 0,
            "top": [{"label": "cat", "probability": 0.7}, {"label": "yak", "probability": 0.2}],
        },
    ]


@pytest.mark.parametrize(
    ("top_k", "default", "expected"),
    [(None, 3, 3), (None, 99, 4), (1, 3, 1), (4, 1, 4), (5, 1, 4), (10**9, 1, 4)],
)
def test_top_k_is_limited_by_the_labels(top_k: int | None, default: int, expected: int) -> None:
    for prediction in TASK.predictions(PROBABILITIES, ClassificationOptions(top_k=top_k), default):
        top = prediction["top"]
        assert len(top) == expected
        assert len({item["label"] for item in top}) == expected
        assert top[0] == {k: prediction[k] for k in ("label", "probability")}
        values = [item["probability"] for item in top]
        assert values == sorted(values, reverse=True)


def test_what_was_named_first_is_told_to_whoever_meters() -> None:
    assert TASK.best(PROBABILITIES) == [("owl", pytest.approx(0.6)), ("cat", pytest.approx(0.7))]


def test_ties_go_to_the_first_label() -> None:
    even = np.full((1, 4), 0.25, np.float32)
    (prediction,) = TASK.predictions(even, ClassificationOptions(top_k=4), 1)
    assert [item["label"] for item in prediction["top"]] == ["cat", "dog", "owl", "yak"]
    assert prediction["class_id"] == 0
    assert TASK.tensors(even)["label"] == ["cat"] == [label for label, _ in TASK.best(even)]


def test_probabilities_are_rounded_to_a_millionth() -> None:
    thirds = np.array([[1 / 3, 2 / 3, 1e-7, 0]], np.float32)
    (prediction,) = TASK.predictions(thirds, ClassificationOptions(top_k=4), 1)
    assert [item["probability"] for item in prediction["top"]] == [0.666667, 0.333333, 0, 0]


def test_answers_are_plain_json_values() -> None:
    (prediction, _) = TASK.predictions(PROBABILITIES, ClassificationOptions(), 1)
    assert type(prediction["class_id"]) is int
    assert type(prediction["probability"]) is float


def test_v2_tensors() -> None:
    tensors = TASK.tensors(PROBABILITIES)
    assert tensors["label"] == ["owl", "cat"]
    class_id, probability = tensors["class_id"], tensors["probability"]
    assert isinstance(class_id, np.ndarray)
    assert isinstance(probability, np.ndarray)
    assert (class_id.dtype, class_id.tolist()) == (np.int64, [2, 0])
    assert probability.dtype == np.float32
    assert probability.tolist() == [PROBABILITIES[0, 2], PROBABILITIES[1, 0]]
    assert tensors["probabilities"] is PROBABILITIES


def test_v2_types_describe_the_tensors() -> None:
    types = {item["name"]: item for item in TASK.output_types()}
    tensors = TASK.tensors(PROBABILITIES)
    assert list(types) == list(tensors)
    kinds = {"INT64": np.int64, "FP32": np.float32}
    for name, value in tensors.items():
        if isinstance(value, list):
            assert types[name] == {"name": name, "datatype": "BYTES", "shape": [-1]}
        else:
            assert value.dtype == kinds[types[name]["datatype"]]
            assert types[name]["shape"] == [-1, *value.shape[1:]]


@pytest.mark.parametrize("shape", [(2, 3), (2, 5), (4,), (2, 4, 1), (2, 0), ()])
def test_outputs_of_another_shape_are_no_answer(shape: tuple[int, ...]) -> None:
    outputs: NDArray[np.float32] = np.zeros(shape, np.float32)
    with pytest.raises(BadPredictorAnswerError):
        TASK.predictions(outputs, ClassificationOptions(), 3)
    with pytest.raises(BadPredictorAnswerError):
        TASK.tensors(outputs)


@pytest.mark.parametrize("outputs", [(), ("probabilities", "embedding")])
def test_classification_has_one_output(outputs: tuple[str, ...]) -> None:
    with pytest.raises(CardError) as caught:
        Classification(replace(CONTRACT, outputs=outputs))
    assert caught.value.field == "contract.outputs"
