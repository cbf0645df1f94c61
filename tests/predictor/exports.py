"""Small ONNX programs and revisions that carry them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from artifact import Export, Golden, ModelCard, Revision, sha256_of, write_revision
from tests.conftest import make_card, make_weights

EVEN = 0.1
"""The probability that ``even_program`` gives each of ten classes."""


def even_program(
    input_name: str = "image", output_name: str = "probabilities", domain: str = ""
) -> bytes:
    """Gives all ten classes the same probability, whatever the picture."""
    image = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["n", 1, 28, 28])
    found = helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["n", 10])
    nodes = [
        helper.make_node("Flatten", [input_name], ["flat"], domain=domain),
        helper.make_node("MatMul", ["flat", "zeros"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [output_name], axis=1),
    ]
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [784, 10], np.zeros(7840).tolist())
    graph = helper.make_graph(nodes, "even", [image], [found], [zeros])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def doubled_program() -> bytes:
    """``even_program``, which gives its probabilities a second time as ``again``."""
    model = onnx.load_from_string(even_program())
    model.graph.node.append(helper.make_node("Identity", ["probabilities"], ["again"]))
    again = helper.make_tensor_value_info("again", TensorProto.FLOAT, ["n", 10])
    model.graph.output.append(again)
    return bytes(model.SerializeToString())


def endless_program() -> bytes:
    """Turns a million million times before it answers like ``even_program``."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])
    found = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])
    boolean, number = TensorProto.BOOL, TensorProto.INT64
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "sum"], ["sum_next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", number, []),
            helper.make_tensor_value_info("go", boolean, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 10]),
        ],
        [
            helper.make_tensor_value_info("go_on", boolean, []),
            helper.make_tensor_value_info("sum_next", TensorProto.FLOAT, ["n", 10]),
        ],
    )
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "zeros"], ["logits"]),
        helper.make_node("Loop", ["turns", "always", "logits"], ["turned"], body=body),
        helper.make_node("Softmax", ["turned"], ["probabilities"], axis=1),
    ]
    initial = [
        helper.make_tensor("zeros", TensorProto.FLOAT, [784, 10], np.zeros(7840).tolist()),
        helper.make_tensor("turns", number, [], [10**12]),
        helper.make_tensor("always", boolean, [], [True]),
    ]
    graph = helper.make_graph(nodes, "endless", [image], [found], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def write_exported(
    root: Path,
    program: bytes,
    difference: float = 0.0,
    golden: bytes | None = None,
    **changes: object,
) -> Revision:
    """The revision mnist/1 of a small random network, with that program as its export."""
    export = Export("onnx", "model.onnx", sha256_of(program), len(program), 18, 1, difference, 1e-5)
    files = {"model.onnx": program}
    if golden is not None:
        files["golden.safetensors"] = golden
        changes["golden"] = Golden("golden.safetensors", sha256_of(golden), 1e-4)
    card: ModelCard = make_card(exports=(export,), **changes)
    return write_revision(root, card, make_weights(0), files)


def golden_answers(value: float = EVEN) -> bytes:
    """Two pictures, each class of which has that probability."""
    images = np.random.default_rng(3).normal(size=(2, 1, 28, 28)).astype(np.float32)
    return save({"input": images, "output": np.full((2, 10), value, np.float32)})
