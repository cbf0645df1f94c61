"""Cards of the tasks whose pictures are one instance each: read as written, refused by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from artifact import (
    Contract,
    DetectionContract,
    DetectionMetrics,
    EmbeddingContract,
    EmbeddingMetrics,
    ImageInput,
    InvalidCardError,
    KeypointsContract,
    KeypointsMetrics,
    ModelCard,
    RegressionContract,
    RegressionMetrics,
    Selection,
    TaskMetrics,
)
from artifact.heads import (
    AnchorGrid,
    BoxesHead,
    CentrePointsHead,
    Head,
    ScoresHead,
    SsdHead,
    YoloHead,
)
from tests.conftest import make_card, make_contract

INPUT = make_contract().input_as(ImageInput)
GRID = AnchorGrid(2, 2, 14.0, 0.5, ((8.0, 8.0), (12.0, 6.0)))
HEADS: list[Head] = [
    YoloHead("yolov8", 21),
    YoloHead("yolov5", 21),
    SsdHead("ssd", (GRID,), (0.1, 0.2), "softmax", "first"),
    ScoresHead("scores", 5, "centre", "share", "sigmoid", "none"),
    CentrePointsHead("centre-points", 4, "none", "log-cells", "yx", 0.5),
    BoxesHead("boxes", 5, 1),
]
SELECTION = Selection(0.25, 0.5, 100)


def detection(head: Head, keypoints: tuple[str, ...] = ()) -> DetectionContract:
    count = len(head.shapes(2, len(keypoints), 28, 28))
    outputs = tuple(f"out{n}" for n in range(count))
    return DetectionContract(
        "detection", INPUT, outputs, ("cat", "dog"), head, SELECTION, keypoints
    )


CONTRACTS: list[tuple[Contract, TaskMetrics]] = [
    *((detection(head), DetectionMetrics(None, 0.4, 0.6, 50)) for head in HEADS),
    (detection(HEADS[0], ("nose",)), DetectionMetrics(0, 0.4, 0.6, 50)),
    (detection(HEADS[4], ("nose", "tail")), DetectionMetrics(0, 0.4, 0.6, 50)),
    (
        EmbeddingContract("embedding", INPUT, ("vector",), dimension=128),
        EmbeddingMetrics(None, {"1": 0.8, "5": 0.9}, 50),
    ),
    (
        KeypointsContract("keypoints", INPUT, ("points",), ("nose", "tail"), "share"),
        KeypointsMetrics(None, 0.02, 50),
    ),
    (
        KeypointsContract("keypoints", INPUT, ("maps",), ("nose", "tail"), "heatmaps", 4),
        KeypointsMetrics(None, 0.02, 50),
    ),
    (
        RegressionContract(
            "regression",
            INPUT,
            ("numbers",),
            ("age", "height"),
            (10, 1),
            (40, 0),
            ("years", ""),
            (5, 1),
        ),
        RegressionMetrics(None, {"age": 3.5, "height": 1.0}, 50),
    ),
]


@pytest.mark.parametrize(("contract", "metrics"), CONTRACTS)
def test_a_card_is_read_as_it_was_written(contract: Contract, metrics: TaskMetrics) -> None:
    card = make_card(contract=contract, metrics=metrics)
    found = ModelCard.from_json(card.to_json())
    assert found == card
    assert found.contract.digest == contract.digest
    shapes = contract.output_shapes(contract.input.shape)
    assert len(shapes) == len(contract.outputs) == len(contract.output_dtypes)
    assert all(length > 0 for shape in shapes for length in shape)


def refused(contract: Contract, change: dict[str, Any]) -> str:
    document = json.loads(make_card(contract=contract, metrics=None).to_json())
    document["contract"].update(change)
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(json.dumps(document))
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": {"kind": "yolov9"}}, "contract.head.kind: 'yolov9' is none of yolov8, yolov5"),
        ({"head": {"kind": "yolov8"}}, "contract.head.anchors: is missing"),
        ({"head": {"kind": "boxes", "boxes": 3, "first_class": 1}}, "must name 3 outputs"),
        ({"selection": {}}, "contract.selection.score_threshold: is missing"),
        (
            {"selection": {"score_threshold": 2, "iou_threshold": 0.5, "max_detections": 1}},
            "contract.selection.score_threshold: must be at most 1",
        ),
        ({"labels": []}, "contract.labels: must not be empty"),
    ],
)
def test_a_wrong_detection_contract_names_the_field(change: dict[str, Any], reason: str) -> None:
    assert reason in refused(detection(HEADS[0]), change)


def test_keypoints_need_a_head_that_gives_them() -> None:
    found = refused(detection(HEADS[5]), {"keypoints": ["nose"]})
    assert "contract.keypoints: a head boxes gives none" in found


def test_anchors_of_a_wrong_shape() -> None:
    head = {
        "kind": "ssd",
        "grids": [{"rows": 1, "columns": 1, "step": 8, "offset": 0.5, "sizes": [[8, 8], [8]]}],
        "variances": [0.1],
        "activation": "softmax",
        "background": "first",
    }
    found = refused(detection(HEADS[2]), {"head": head})
    assert "contract.head.grids[0].sizes[1]: must have 2 entries" in found
    assert "contract.head.variances: must have 2 entries" in found


@pytest.mark.parametrize(
    ("contract", "change", "reason"),
    [
        (CONTRACTS[8][0], {"dimension": 0}, "contract.dimension: must be at least 1"),
        (CONTRACTS[8][0], {"labels": ["a"]}, "contract.labels: is not a field"),
        (CONTRACTS[8][0], {"outputs": ["a", "b"]}, "contract.outputs: must name one output"),
        (CONTRACTS[9][0], {"layout": "polar"}, "contract.layout: 'polar' is none of pixels"),
        (CONTRACTS[11][0], {"unit": ["years"]}, "contract.unit: must have 2 entries"),
        (CONTRACTS[11][0], {"unit": ["years", 3]}, "contract.unit[1]: must be a string"),
        (CONTRACTS[11][0], {"scale": [0, 1]}, "contract.scale[0]: must be greater than 0"),
    ],
)
def test_other_wrong_contracts(contract: Contract, change: dict[str, Any], reason: str) -> None:
    assert reason in refused(contract, change)
