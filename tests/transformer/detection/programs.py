"""A small detector, and contracts for it."""

from __future__ import annotations

from onnx import TensorProto, helper

from artifact import DetectionContract, Frame, ImageInput, Selection
from artifact.heads import ScoresHead

SIZE = 64
LABELS = ("red", "green")


def box_program() -> bytes:
    """The box around all that is light, as its corners, and how red and how green there it is.

    ``(n, 3, 64, 64)`` from 0 to 1 to ``boxes`` ``(n, 1, 4)`` and ``scores`` ``(n, 1, 2)``.
    """
    number = TensorProto.FLOAT
    nodes = [
        helper.make_node("Slice", ["image", "zero", "two", "one"], ["colours"]),
        helper.make_node("ReduceMax", ["colours", "sides"], ["scores_flat"], keepdims=0),
        helper.make_node("Unsqueeze", ["scores_flat", "one"], ["scores"]),
        helper.make_node("ReduceMax", ["colours", "one"], ["light"], keepdims=0),
        helper.make_node("Greater", ["light", "half"], ["seen"]),
        helper.make_node("Cast", ["seen"], ["mask"], to=number),
    ]
    for axis, name, other in ((1, "x", "one"), (2, "y", "two")):
        nodes += [
            helper.make_node("ReduceMax", ["mask", other], [f"{name}_line"], keepdims=0),
            helper.make_node("ArgMax", [f"{name}_line"], [f"{name}_first"], axis=1),
            helper.make_node(
                "ArgMax", [f"{name}_line"], [f"{name}_at"], axis=1, select_last_index=1
            ),
            helper.make_node("Add", [f"{name}_at", "one"], [f"{name}_last"]),
        ]
        assert axis in (1, 2)
    nodes += [
        helper.make_node("Concat", ["x_first", "y_first", "x_last", "y_last"], ["corners"], axis=1),
        helper.make_node("Cast", ["corners"], ["corners_float"], to=number),
        helper.make_node("Unsqueeze", ["corners_float", "one"], ["boxes"]),
    ]
    integers = {"zero": [0], "one": [1], "two": [2], "sides": [2, 3]}
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        for name, values in integers.items()
    ]
    constants.append(helper.make_tensor("half", number, [1], [0.5]))
    graph = helper.make_graph(
        nodes,
        "boxes",
        [helper.make_tensor_value_info("image", number, ["n", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("boxes", number, ["n", 1, 4]),
            helper.make_tensor_value_info("scores", number, ["n", 1, 2]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def box_contract(frame: Frame, background: str | None = None) -> DetectionContract:
    """Of ``box_program``."""
    return DetectionContract(
        task="detection",
        input=ImageInput(
            name="image",
            height=SIZE,
            width=SIZE,
            mode="RGB",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            layout="NCHW",
            dtype="FP32",
            background=background,
            frame=frame,
        ),
        outputs=("boxes", "scores"),
        labels=LABELS,
        head=ScoresHead("scores", 1, "corners", "pixels", "none", "none"),
        selection=Selection(0.5, 0.5, 10),
    )
