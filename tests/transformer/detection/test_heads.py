from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from artifact import DetectionContract, Whole
from artifact.heads import AnchorGrid, BoxesHead, CentrePointsHead, Head, ScoresHead, SsdHead
from artifact.heads import YoloHead as Yolo
from tests.transformer.detection.programs import box_contract
from transformer.detection.heads import Candidates, decode


def contract(head: Head, keypoints: tuple[str, ...] = ()) -> DetectionContract:
    return replace(box_contract(Whole(), "black"), head=head, keypoints=keypoints)


def floats(*values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def found(
    head: Head,
    outputs: list[NDArray[np.generic]],
    threshold: float = 0.5,
    keypoints: tuple[str, ...] = (),
) -> Candidates:
    of = contract(head, keypoints)
    shapes = [output.shape for output in outputs]
    assert shapes == list(of.output_shapes(of.input.shape))
    return decode(outputs, of, threshold)


def test_yolov8_has_a_column_an_anchor() -> None:
    columns = floats([10, 20, 4, 8, 0.9, 0.1], [30, 30, 2, 2, 0.2, 0.7], [1, 1, 1, 1, 0.4, 0.3])
    boxes = found(Yolo("yolov8", 3), [columns.T])
    assert boxes.boxes.tolist() == [[8, 16, 12, 24], [29, 29, 31, 31]]
    assert boxes.scores == pytest.approx([0.9, 0.7])
    assert boxes.labels.tolist() == [0, 1]


def test_yolov8_for_poses_has_keypoints_behind_the_scores() -> None:
    column = floats([10, 20, 4, 8, 0.9, 0.1, 9, 18, 0.75, 11, 22, 0.5])
    boxes = found(Yolo("yolov8", 1), [column.T], keypoints=("nose", "tail"))
    assert boxes.keypoints.tolist() == [[[9, 18, 0.75], [11, 22, 0.5]]]


def test_yolov5_multiplies_by_its_certainty_of_anything() -> None:
    rows = floats([10, 20, 4, 8, 0.5, 0.9, 0.1], [30, 30, 2, 2, 0.9, 0.1, 0.9])
    boxes = found(Yolo("yolov5", 2), [rows])
    assert boxes.boxes.tolist() == [[29, 29, 31, 31]]
    assert boxes.scores == pytest.approx([0.81])


def test_ssd_shifts_its_anchors() -> None:
    grids = (
        AnchorGrid(1, 2, 32.0, 0.5, ((10.0, 20.0),)),
        AnchorGrid(1, 1, 64.0, 0.5, ((8.0, 8.0), (16.0, 4.0))),
    )
    head = SsdHead("ssd", grids, (0.1, 0.2), "softmax", "first")
    shifts = np.zeros((4, 4), np.float32)
    shifts[1] = [1, -1, 5 * np.log(2), 0]
    scores = np.log(floats([0.98, 0.01, 0.01], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]))
    boxes = found(head, [shifts, scores])
    # The second anchor stands at (48, 16): moved by a tenth of its size, and made twice as wide.
    assert boxes.boxes[0] == pytest.approx([49 - 10, 14 - 10, 49 + 10, 14 + 10])
    assert boxes.boxes[1] == pytest.approx([32 - 8, 32 - 2, 32 + 8, 32 + 2])
    assert boxes.labels.tolist() == [0, 1]
    assert boxes.scores == pytest.approx([0.8, 0.8])


def test_an_ssd_anchor_may_be_of_several_classes() -> None:
    head = SsdHead("ssd", (AnchorGrid(1, 1, 64, 0.5, ((8, 8),)),), (0.1, 0.2), "sigmoid", "none")
    boxes = found(head, [np.zeros((1, 4), np.float32), floats([2.0, 3.0])])
    assert boxes.labels.tolist() == [0, 1]


def test_shifts_beyond_all_reason_do_not_overflow() -> None:
    head = SsdHead("ssd", (AnchorGrid(1, 1, 64, 0.5, ((8, 8),)),), (0.1, 0.2), "none", "none")
    boxes = found(head, [np.full((1, 4), 1e4, np.float32), floats([1.0, 0.0])])
    assert np.isfinite(boxes.boxes).all()


@pytest.mark.parametrize(
    ("box", "unit", "numbers"),
    [
        ("corners", "pixels", [16, 8, 32, 24]),
        ("centre", "pixels", [24, 16, 16, 16]),
        ("corners", "share", [0.25, 0.125, 0.5, 0.375]),
        ("centre", "share", [0.375, 0.25, 0.25, 0.25]),
    ],
)
def test_finished_boxes_in_every_unit(box: str, unit: str, numbers: list[float]) -> None:
    head = ScoresHead("scores", 2, box, unit, "softmax", "last")
    scores = floats([3, 0, 0], [0, 0, 3])
    boxes = found(head, [floats(numbers, numbers), scores])
    assert boxes.boxes.tolist() == [[16, 8, 32, 24]]
    assert boxes.labels.tolist() == [0]


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_centre_points_of_centerface(order: str) -> None:
    head = CentrePointsHead("centre-points", 4, "none", "log-cells", order, 0.5)
    centres = np.zeros((2, 16, 16), np.float32)
    centres[1, 5, 7] = 0.9
    sizes, offsets = np.zeros((2, 16, 16), np.float32), np.zeros((2, 16, 16), np.float32)
    points = np.zeros((4, 16, 16), np.float32)
    x, y = (0, 1) if order == "xy" else (1, 0)
    sizes[x, 5, 7], sizes[y, 5, 7] = np.log(2), np.log(4)
    offsets[x, 5, 7], offsets[y, 5, 7] = 0.25, -0.25
    points[[x, y], 5, 7] = [0.5, 0.25]
    points[[2 + x, 2 + y], 5, 7] = [0, 1]
    boxes = found(head, [centres, sizes, offsets, points], keypoints=("eye", "chin"))
    # At ((7 + 0.75) * 4, (5 + 0.25) * 4), 8 wide and 16 high.
    assert boxes.boxes[0] == pytest.approx([27, 13, 35, 29])
    assert boxes.labels.tolist() == [1]
    assert boxes.keypoints[0] == pytest.approx(floats([31, 17, 1], [27, 29, 1]))


def test_centre_points_of_centernet() -> None:
    head = CentrePointsHead("centre-points", 8, "sigmoid", "cells", "xy", 0.0)
    centres = np.full((2, 8, 8), -9, np.float32)
    centres[0, 2, 3] = 9
    sizes, offsets = np.ones((2, 8, 8), np.float32), np.zeros((2, 8, 8), np.float32)
    boxes = found(head, [centres, sizes, offsets])
    assert boxes.boxes.tolist() == [[20, 12, 28, 20]]


def test_boxes_as_torchvision_gives_them() -> None:
    head = BoxesHead("boxes", 3, 1)
    rows = floats([1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0])
    outputs = [rows, floats(0.9, 0.8, 0.0), np.array([2, 9, 0])]
    boxes = found(head, outputs, 0.0)
    assert boxes.boxes.tolist() == [[1, 2, 3, 4]]
    assert boxes.labels.tolist() == [1]


def test_nothing_is_found_where_nothing_reaches_the_threshold() -> None:
    for keypoints in ((), ("nose",)):
        columns = np.zeros((6 + 3 * len(keypoints), 5), np.float32)
        boxes = found(Yolo("yolov8", 5), [columns], keypoints=keypoints)
        assert boxes.boxes.shape == (0, 4)
        assert boxes.keypoints.shape == (0, len(keypoints), 3)
