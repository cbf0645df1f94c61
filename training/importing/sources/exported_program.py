"""A program of ``torch.export.save``: it runs without its author's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch.export.graph_signature import InputKind

from training.importing import graph
from training.importing.archive import EXPORTED, kind_of
from training.importing.checks import BATCH_OF_ONE
from training.importing.errors import ImportRefusedError, first_line
from training.importing.pytorch import HALVES, answer_with, export_program
from training.importing.request import Request
from training.importing.source import Opened
from training.importing.sources.state_dict import file_facts

if TYPE_CHECKING:
    from onnx import ModelProto

CHANNELS = {1: "L", 3: "RGB"}
HALF = (
    "its weights are {kind}, in which ONNX Runtime computes no convolutions: export "
    "model.float().eval()"
)


class ExportedProgramSource:
    """``.pt2``, as ``torch.export.save`` writes it."""

    def recognises(self, request: Request) -> bool:
        return kind_of(request.path) == EXPORTED

    def open(self, request: Request) -> Opened:
        return open_exported(request.path)


def open_exported(path: Path) -> Opened:
    """A program that takes one batch of pictures, of any number.

    Raises:
        ImportRefusedError: it takes something else, was exported in training mode or half
            precision, or for one picture only.
    """
    try:
        program = torch.export.load(path)
    except Exception as error:  # of unpickling, of the schema, of operators that are not there
        raise ImportRefusedError(
            f"{path.name} is no program of torch.export that can be opened by torch "
            f"{torch.__version__}: {first_line(error)}"
        ) from None
    weights = {name: tensor.detach().clone() for name, tensor in program.state_dict.items()}
    for kind in {tensor.dtype for tensor in weights.values()} & set(HALVES):
        raise ImportRefusedError(HALF.format(kind=str(kind).removeprefix("torch.")))
    example = _input(program)
    if not isinstance(example.shape[0], torch.SymInt):
        raise ImportRefusedError(BATCH_OF_ONE.format(error=f"its batch is {example.shape[0]}"))
    shape = [int(side) if not isinstance(side, torch.SymInt) else None for side in example.shape]
    recipe: dict[str, Any] = {}
    if shape[1] in CHANNELS:
        recipe["mode"] = CHANNELS[shape[1]]
    if shape[2] and shape[3]:
        recipe |= {"height": shape[2], "width": shape[3]}

    answer = answer_with(program.module())

    def to_onnx(example: NDArray[Any], names: Sequence[str]) -> ModelProto:
        # ONNX does not keep the outputs' names, and the program gives all of them.
        model = export_program(program, list(answer(example)))
        graph.keep_outputs(model, names)
        return model

    return Opened(
        answer=answer,
        to_onnx=to_onnx,
        recipe=recipe,
        weights=weights,
        facts={"kind": "torch.export", **file_facts(path)},
        libraries=("torch",),
    )


def _input(program: torch.export.ExportedProgram) -> torch.Tensor:
    """What the program was exported with, in place of a picture batch."""
    names = [
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    ]
    nodes = [node for node in program.graph.nodes if node.name in names]
    found = [node.meta["val"] for node in nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    if len(found) != 1 or found[0].ndim != 4:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in found)
        raise ImportRefusedError(
            f"its inputs are {shapes or 'no tensors'}; a network here takes one batch of pictures "
            "(n, channels, height, width)"
        )
    batch: torch.Tensor = found[0]
    return batch


SOURCE = ExportedProgramSource()
