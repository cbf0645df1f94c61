"""What a revision carries beside its weights: an ONNX program, and golden answers.

The program is exported from the network as it is served (batch norm folded, softmax included),
and then compared with it through the engine that will run it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from artifact import Contract, Export, Golden, ModelCard, sha256_of
from predictor.agreement import largest_difference
from predictor.engines import Arrays, Session
from predictor.engines.onnx_runtime import OnnxSession
from predictor.engines.torch_session import TorchSession
from predictor.programs import Program
from serving.v2 import NUMPY_TYPES
from tasks import find_task
from training.onnx_program import OPSET, export_onnx

ONNX_FILE = "model.onnx"
GOLDEN_FILE = "golden.safetensors"
TOLERANCE = 1e-5
"""Up to which two answers count as equal: a probability is shown with fewer digits."""

GOLDEN_TOLERANCE = 1e-4
"""Of any engine on any processor, whose sums are in another order."""

ROUNDING = 0.004
"""The same where an answer travels as a byte: one level of 255."""

HALVED_BYTES = 4096
"""Of a constant from which on its half is worth a cast."""

GOLDEN_INSTANCES = 4
NOISE_INSTANCES = 32


@dataclass(frozen=True)
class Exported:
    """Files by name, and what the card says of them."""

    files: dict[str, bytes]
    exports: tuple[Export, ...]
    golden: Golden

    def named_in(self, card: ModelCard) -> ModelCard:
        """The card with these files."""
        return replace(card, exports=self.exports, golden=self.golden)


def export(
    program: Program,
    contract: Contract,
    samples: Iterable[NDArray[Any]],
    half_weights: bool = False,
) -> Exported:
    """Export a program for the engines that run ONNX, and compare the two.

    Args:
        program: on the CPU, in float32.
        samples: batches that fit the contract, of what the network was made for. Random pictures
            are added: a fault may lie where the network is less sure of itself.
        half_weights: as for ``to_onnx``.

    Raises:
        ValueError: the export answers otherwise than the network.
    """
    data = to_onnx(program, contract, half_weights)
    reference, exported = TorchSession(program), OnnxSession(data, contract)
    noise = random_instances(contract, NOISE_INSTANCES)
    count, difference = 0, 0.0
    for batch in (noise, *samples):
        found, expected = answers(exported, batch), answers(reference, batch)
        difference = float(np.maximum(difference, largest_difference(found, expected)))
        count += len(batch)
    tolerance = tolerance_of(contract)
    if not difference <= tolerance:
        raise ValueError(
            f"the ONNX export differs from the network by {difference:g}, more than {tolerance:g}"
        )
    shown = noise[:GOLDEN_INSTANCES]
    tensors = zip(Golden.outputs(contract.outputs), answers(reference, shown), strict=True)
    golden = save({"input": shown, **dict(tensors)})
    return Exported(
        files={ONNX_FILE: data, GOLDEN_FILE: golden},
        exports=(
            Export(
                format="onnx",
                file=ONNX_FILE,
                sha256=sha256_of(data),
                size_bytes=len(data),
                opset=OPSET,
                samples=count,
                difference=float(f"{difference:.2e}"),
                tolerance=tolerance,
            ),
        ),
        golden=Golden(GOLDEN_FILE, sha256_of(golden), max(GOLDEN_TOLERANCE, tolerance)),
    )


def tolerance_of(contract: Contract) -> float:
    """Up to which two answers count as equal: bytes may be rounded to either side."""
    return ROUNDING if "UINT8" in contract.output_dtypes else TOLERANCE


def to_onnx(program: Program, contract: Contract, half_weights: bool = False) -> bytes:
    """An ONNX program for batches of any size, its weights inside.

    Args:
        half_weights: keep large weights in half precision, where the revision's own are; they are
            computed with in float32.
    """
    example = torch.from_numpy(random_instances(contract, 2))
    smallest = find_task(contract.task).probe(contract).shape
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    for axis, size in enumerate(contract.input.shape, 1):
        if size == -1:
            free[axis] = smallest[axis] * torch.export.Dim(f"sides_{axis}")
    model = export_onnx(program, contract.input.name, contract.outputs, example, free)
    # The exporter notes the sources of every node, by their paths on this machine.
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        noted.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
    if half_weights:
        _halve(graph)
    return bytes(model.SerializeToString(deterministic=True))


def _halve(graph: onnx.GraphProto) -> None:
    """Keep large float32 constants as float16, each with a cast that engines do once at load."""
    large = [
        tensor
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) >= HALVED_BYTES
    ]
    for tensor in large:
        name, stored = tensor.name, f"{tensor.name}.half"
        halved = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(halved, stored))
        cast = onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)


def random_instances(contract: Contract, count: int) -> NDArray[Any]:
    """Instances that fit a contract: random patches of light on a dark ground.

    Where instances choose their size, twice the smallest one's height and three times its width.
    """
    smallest = find_task(contract.task).probe(contract).shape[1:]
    channels, height, width = (
        times * least if size == -1 else size
        for times, least, size in zip((1, 2, 3), smallest, contract.input.shape, strict=True)
    )
    random = np.random.default_rng(0)
    coarse = random.random((count, channels, -(-height // 4), -(-width // 4)))
    light = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width]
    found, kind = light * (light > 0.6), NUMPY_TYPES[contract.input.dtype]
    if kind is np.uint8:
        return np.ascontiguousarray((255 * found).astype(kind))
    mean, std = (
        np.array(getattr(contract.input, name), np.float32)[:, None, None]
        for name in ("mean", "std")
    )
    return np.ascontiguousarray(((found - mean) / std).astype(kind))


def answers(session: Session, batch: NDArray[Any]) -> Arrays:
    """In passes of a few instances, the last of which is smaller."""
    parts = [session.run(batch[i : i + 31]) for i in range(0, len(batch), 31)]
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
