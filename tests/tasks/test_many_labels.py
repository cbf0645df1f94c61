"""Classification where a picture may have several labels, or none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from artifact import InvalidCardError, ManyLabelsContract, ModelCard
from common.predicted import as_set
from predictor.networks import build_network
from predictor.programs import program_for
from tasks import AnswerError, LabelsError
from tasks.classification import TASK
from tests.conftest import ARCHITECTURE, make_card, make_contract
from transformer.classification.answers import Classification
from transformer.classification.options import ClassificationOptions

SINGLE = make_contract()
CONTRACT = ManyLabelsContract(
    "classification", SINGLE.input, SINGLE.outputs, ("cat", "dog", "car"), (0.5, 0.25, 1)
)
OUTPUTS = np.array([[0.6, 0.9, 0.8], [0.1, 0.2, 0.3]], np.float32)


def test_a_card_is_read_as_it_was_written() -> None:
    card = make_card(contract=CONTRACT)
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 2], [0.5, 0.5, "x"]])
def test_thresholds_are_shares_one_a_label(thresholds: list[object]) -> None:
    document = json.loads(make_card(contract=CONTRACT).to_json())
    document["contract"]["thresholds"] = thresholds
    with pytest.raises(InvalidCardError, match=r"contract\.thresholds"):
        ModelCard.from_json(json.dumps(document))


def test_all_labels_that_reach_their_thresholds_are_named() -> None:
    answers = Classification(CONTRACT)
    first, second = answers.predictions(OUTPUTS, ClassificationOptions(), 1)
    assert first["labels"] == [
        {"label": "dog", "probability": 0.9},
        {"label": "cat", "probability": 0.6},
    ]
    assert first["top"] == [{"label": "dog", "probability": 0.9}]
    assert second["labels"] == []
    assert second["label"] == "car"
    (lower, _) = answers.predictions(OUTPUTS, ClassificationOptions(threshold=0.7), 1)
    assert [item["label"] for item in lower["labels"]] == ["dog", "car"]


def test_what_is_kept_of_an_answer_are_all_labels_as_one() -> None:
    answers = Classification(CONTRACT)
    (first, probability), second = answers.named(OUTPUTS, None)
    assert first == as_set(["dog", "cat"])
    assert probability == pytest.approx(0.6)
    assert second == ("{}", 0.0)
    assert answers.named(OUTPUTS, 0.7)[0][0] == "{car, dog}"


def test_v2_says_which_labels_were_reached() -> None:
    tensors = Classification(CONTRACT).tensors(OUTPUTS)
    assert tensors["reached"] == pytest.approx(np.array([[True, True, False], [False] * 3]))
    types = Classification(CONTRACT).output_types()
    assert [item["name"] for item in types] == list(tensors)
    assert "reached" not in Classification(SINGLE).tensors(np.eye(10, dtype=np.float32))


def test_labels_of_a_network_have_probabilities_of_their_own() -> None:
    network = build_network(ARCHITECTURE).eval()
    contract = ManyLabelsContract(
        "classification", SINGLE.input, SINGLE.outputs, SINGLE.labels, (0.5,) * 10
    )
    batch = torch.rand(3, 1, 28, 28)
    with torch.inference_mode():
        found = program_for(contract, network, 2.0)(batch)
        assert torch.allclose(found, torch.sigmoid(network(batch) / 2), atol=1e-6)


def test_the_score_is_the_share_that_is_right() -> None:
    body = b'{"predictions": [{"label": "dog", "labels": [{"label": "dog"}, {"label": "cat"}]}]}'
    answer = TASK.read_answer(CONTRACT, body)
    assert answer == {0, 1}
    assert TASK.score(CONTRACT, answer, np.array([1, 1, 0])) == 1.0
    assert TASK.score(CONTRACT, answer, np.array([0, 1, 0])) == 0.5
    assert TASK.score(CONTRACT, answer, np.array([0, 0, 1])) == 0.0
    assert TASK.score(CONTRACT, frozenset(), np.array([0, 0, 0])) == 1.0
    with pytest.raises(AnswerError):
        TASK.read_answer(CONTRACT, b'{"predictions": [{"label": "dog"}]}')


def test_labels_are_a_row_of_ones_and_noughts() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    TASK.check_labels(CONTRACT, images, np.array([[1, 0, 1], [0, 0, 0]]))
    for wrong in (np.array([1, 2]), np.array([[1, 0], [0, 1]]), np.array([[2, 0, 0]] * 2)):
        with pytest.raises(LabelsError):
            TASK.check_labels(CONTRACT, images, wrong)
