"""ONNX programs: what is put around a network's own, so that it is the contract's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from training.importing.errors import ImportRefusedError, first_line

MOST_BYTES = (1 << 31) - 1
"""A file of protocol buffers cannot be larger."""

LARGE_BYTES = 1 << 16
APART = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
"""Tensors of that size and of these types lie beside a program that is larger than a file."""

NOWHERE = "weights"

TOO_LARGE = (
    "it has {size:.1f} GB; from ONNX programs up to 2 GB are taken. Give the network that it was "
    "exported from: its weights, with --network"
)


def read_program(path: Path) -> ModelProto:
    """A file, with the weights that lie beside it moved inside.

    Raises:
        ImportRefusedError: it is none, or too large for one file.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(str(path))  # the path: a message of over 2 GB is none
    except Exception as error:  # of protobuf, of the checker, of the file system
        raise ImportRefusedError(
            f"{path.name} is no ONNX program that can be opened: {first_line(error)}"
        ) from None
    if model.functions and not model.graph.node:
        raise ImportRefusedError(f"{path.name} holds functions only, and no graph")
    return model


def inputs_of(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs; old files list their weights among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dimensions(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Of an input or output; None for those that vary."""
    shape = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.dim_value > 0 else None for d in shape)


def free_dimensions(model: ModelProto, axes: Sequence[int]) -> None:
    """Let those axes of the input vary, and whatever follows from them."""
    (image,) = inputs_of(model)
    for axis in axes:
        image.type.tensor_type.shape.dim[axis].dim_param = f"axis_{axis}"
    for output in model.graph.output:
        for axis, dimension in enumerate(output.type.tensor_type.shape.dim):
            dimension.dim_param = f"{output.name}_{axis}"
    del model.graph.value_info[:]


def rename(model: ModelProto, names: dict[str, str]) -> None:
    """Give tensors of the graph other names."""
    taken = {name for node in model.graph.node for name in [*node.input, *node.output]}
    for old, new in names.items():
        if new in taken and new not in names:
            rename_in(model.graph, new, f"{new}_")
        rename_in(model.graph, old, new)


def rename_in(graph: onnx.GraphProto, old: str, new: str) -> None:
    if old == new:
        return
    for node in graph.node:
        _replace(node.input, old, new)
        _replace(node.output, old, new)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename_in(attribute.g, old, new)
    values = [*graph.input, *graph.output, *graph.value_info]
    for value in [v for v in values if v.name == old]:
        value.name = new
    for tensor in [t for t in graph.initializer if t.name == old]:
        tensor.name = new


def append(model: ModelProto, nodes: Iterable[NodeProto]) -> None:
    model.graph.node.extend(nodes)


def keep_outputs(model: ModelProto, names: Sequence[str]) -> None:
    """Of the graph's outputs those of these names, in this order."""
    by_name = {value.name: value for value in model.graph.output}
    kept = [by_name[name] for name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def set_outputs(model: ModelProto, outputs: dict[str, Sequence[int | str]]) -> None:
    """The graph's outputs, by name, in float32, with their dimensions."""
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        for name, shape in outputs.items()
    )


def take_float32(model: ModelProto) -> None:
    """Let a program of half precision take and give float32.

    Raises:
        ImportRefusedError: it takes another type.
    """
    (image,) = inputs_of(model)
    kind = image.type.tensor_type.elem_type
    if kind == TensorProto.FLOAT:
        return
    if kind not in (TensorProto.FLOAT16, TensorProto.UINT8):
        name = TensorProto.DataType.Name(kind).lower()
        raise ImportRefusedError(
            f"its input {image.name} is {name}; export it from a network in float32: model.float()"
        )
    inner = f"{image.name}_as_given"
    rename_in(model.graph, image.name, inner)
    image.name = inner.removesuffix("_as_given")
    image.type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.node.insert(0, helper.make_node("Cast", [image.name], [inner], to=kind))


def opset_of(model: ModelProto) -> int:
    """Version of the standard operators."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def to_bytes(model: ModelProto) -> bytes:
    """One file, without what the exporter notes of its sources.

    Raises:
        ImportRefusedError: it is too large.
    """
    _forget_sources(model)
    if (size := model.ByteSize()) > MOST_BYTES:
        raise ImportRefusedError(TOO_LARGE.format(size=size / 1e9))
    return bytes(model.SerializeToString(deterministic=True))


def take_weights(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Large tensors by name, where one file cannot hold them; the program is left without.

    Returns:
        Nothing of a program that fits into a file.
    """
    _forget_sources(model)
    if model.ByteSize() <= MOST_BYTES:
        return {}
    weights = {}
    for tensor in model.graph.initializer:
        if tensor.data_type not in APART or tensor.ByteSize() < LARGE_BYTES:
            continue
        weights[tensor.name] = onnx.numpy_helper.to_array(tensor)
        for field in ("raw_data", "float_data", "int32_data", "double_data"):
            tensor.ClearField(field)
        # ONNX wants a place; who opens the program gives these tensors, and looks for no file.
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=NOWHERE)
    return weights


def _forget_sources(model: ModelProto) -> None:
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        noted.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("doc_string")


def _replace(names: Sequence[str], old: str, new: str) -> None:
    for i, name in enumerate(names):
        if name == old:
            names[i] = new  # type: ignore[index]
