"""Networks whose outputs are served as they are: detectors, embeddings, points, numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from artifact import (
    Contract,
    DetectionContract,
    EmbeddingContract,
    ManyLabelsContract,
    PhotographContract,
)
from artifact.card import read_contract
from artifact.fields import Fields
from artifact.heads import YoloHead
from predictor.engines.onnx_runtime import OnnxSession
from tests.training.importing.conftest import SIDE, Importer
from tests.transformer.detection.programs import box_program
from training.importing.errors import ImportRefusedError

BOXES = {
    "head": {
        "kind": "scores",
        "boxes": 1,
        "box": "corners",
        "unit": "pixels",
        "activation": "none",
        "background": "none",
    }
}
RECIPE = {
    "mode": "RGB",
    "height": 64,
    "width": 64,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "frame": {"kind": "resize", "resize": {"fit": [64, 64]}},
}
SMALL = {**RECIPE, "height": SIDE, "width": SIDE}
SMALL["frame"] = {"kind": "resize", "resize": {"exact": [SIDE, SIDE]}}


def pooled(path: Path, shape: list[int], name: str = "image") -> Path:
    """A program that gives the picture's pixels, averaged and reshaped; written to ``path``."""
    number = TensorProto.FLOAT
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["pool"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["pool", "shape"], [name]),
    ]
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("pixels", number, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, number, ["n", *shape])],
        [helper.make_tensor("shape", TensorProto.INT64, [len(shape) + 1], [-1, *shape])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    path.write_bytes(model.SerializeToString())
    return path


def contract_of(report: dict[str, Any]) -> Contract:
    contract = Fields(report).read("contract", read_contract)
    assert contract is not None
    return contract


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.onnx"
    path.write_bytes(box_program())
    return path


def test_a_detector_with_its_head_in_a_file(
    importer: Importer, detector: Path, tmp_path: Path
) -> None:
    report = importer(
        detector, task="detection", labels=("red", "green"), recipe=RECIPE, contract=BOXES
    )
    contract = contract_of(report)
    assert isinstance(contract, DetectionContract)
    assert contract.outputs == ("boxes", "scores")
    assert contract.selection.max_detections == 300
    # What the session loads has the contract's outputs, in its order.
    OnnxSession((tmp_path / "out" / "model.onnx").read_bytes(), contract)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"contract": {}}, "contract.head: is missing"),
        ({"labels": ("red",)}, r"its output for scores has the shape \(1, 2\).* says \(1, 1\)"),
        ({"output": "scores,boxes"}, "its output for boxes"),
        ({"output": "boxes,logits"}, "--output logits is none of boxes, scores"),
    ],
)
def test_what_does_not_fit_is_said(
    importer: Importer, detector: Path, change: dict[str, Any], reason: str
) -> None:
    given = {"labels": ("red", "green"), "contract": BOXES, "recipe": RECIPE, **change}
    with pytest.raises(ImportRefusedError, match=reason):
        importer(detector, task="detection", **given)


def test_yolov8_is_told_by_its_shape(importer: Importer, tmp_path: Path) -> None:
    path = pooled(tmp_path / "yolo.onnx", [6, 8])
    contract = contract_of(importer(path, task="detection", labels=("a", "b"), recipe=SMALL))
    assert isinstance(contract, DetectionContract)
    assert contract.head == YoloHead("yolov8", 8)


def test_an_embedding_needs_no_labels(importer: Importer, tmp_path: Path) -> None:
    path = pooled(tmp_path / "vectors.onnx", [48], "embedding")
    contract = contract_of(importer(path, task="embedding", labels=(), recipe=SMALL))
    assert isinstance(contract, EmbeddingContract)
    assert (contract.dimension, contract.outputs) == (48, ("embedding",))


def test_a_sigmoid_over_several_outputs_is_a_picture_with_many_labels(
    importer: Importer, tmp_path: Path
) -> None:
    path = pooled(tmp_path / "tags.onnx", [48])
    labels = tuple(f"tag{number}" for number in range(48))
    found = contract_of(importer(path, labels=labels, recipe=SMALL, activation="sigmoid"))
    assert isinstance(found, ManyLabelsContract)
    assert found.thresholds == (0.5,) * 48
    chosen = {"thresholds": [0.25] * 48}
    found = contract_of(
        importer(path, labels=labels, recipe=SMALL, activation="sigmoid", contract=chosen)
    )
    assert isinstance(found, ManyLabelsContract)
    assert found.thresholds == (0.25,) * 48


def test_a_segmenter_of_photographs(importer: Importer, tmp_path: Path) -> None:
    path = pooled(tmp_path / "masks.onnx", [3, 4, 4])
    contract = contract_of(
        importer(path, task="segmentation", labels=("a", "b", "c"), recipe=SMALL)
    )
    assert isinstance(contract, PhotographContract)
    assert (contract.stride, len(set(contract.colours))) == (SIDE // 4, 3)


def test_keypoints_and_numbers(importer: Importer, tmp_path: Path) -> None:
    path = pooled(tmp_path / "points.onnx", [24, 2])
    names = tuple(f"p{number}" for number in range(24))
    found = importer(
        path, task="keypoints", labels=names, recipe=SMALL, contract={"layout": "share"}
    )
    assert contract_of(found).labels == names
    path = pooled(tmp_path / "numbers.onnx", [48])
    labels = tuple(f"n{number}" for number in range(48))
    assert contract_of(importer(path, task="regression", labels=labels, recipe=SMALL)).labels


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_one_plane_of_scores_is_the_second_label_and_the_first_has_the_rest(
    scale: float, importer: Importer, tmp_path: Path
) -> None:
    """Shares as they are; numbers beyond 0 to 1 through a sigmoid."""
    number, shape = TensorProto.FLOAT, [1, 1, SIDE, SIDE]
    nodes = [
        helper.make_node("ReduceMean", ["image", "channels"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "scale"], ["plane"]),
    ]
    graph = helper.make_graph(
        nodes,
        "plane",
        [helper.make_tensor_value_info("image", number, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("plane", number, ["n", *shape[1:]])],
        [
            helper.make_tensor("channels", TensorProto.INT64, [1], [1]),
            helper.make_tensor("scale", number, [1], [scale]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    path = tmp_path / "plane.onnx"
    path.write_bytes(model.SerializeToString())
    report = importer(path, task="segmentation", labels=("paper", "text"), recipe=SMALL)
    contract = contract_of(report)
    assert isinstance(contract, PhotographContract)
    assert (contract.labels, contract.stride) == (("paper", "text"), 1)
    session = OnnxSession((tmp_path / "out" / "model.onnx").read_bytes(), contract)
    picture = np.random.default_rng(0).random((2, 3, SIDE, SIDE), np.float32)
    (found,) = session.run(picture)
    text = picture.mean(1) if scale == 1 else 1 / (1 + np.exp(-scale * picture.mean(1)))
    assert found[:, 1] == pytest.approx(text, abs=1e-5)
    assert found.sum(1) == pytest.approx(np.ones_like(text), abs=1e-6)
