"""What a revision carries beside its weights: an ONNX program, and golden answers.

The program is exported from the network as it is served (batch norm folded, softmax included),
and then compared with it through the engine that will run it.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
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

ONNX_FILE = "model.onnx"
GOLDEN_FILE = "golden.safetensors"
OPSET = 18
TOLERANCE = 1e-5
"""Up to which two answers count as equal: a probability is shown with fewer digits."""

GOLDEN_TOLERANCE = 1e-4
"""Of any engine on any processor, whose sums are in another order."""

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


def export(program: Program, contract: Contract, samples: NDArray[Any]) -> Exported:
    """Export a program for ONNX Runtime and compare the two.

    Args:
        program: on the CPU, in float32.
        samples: a batch that fits the contract, of what the network was made for. Random pictures
            are added: a fault may lie where the network is less sure of itself.

    Raises:
        ValueError: the export answers otherwise than the network.
    """
    noise = random_instances(contract, NOISE_INSTANCES)
    batch = np.concatenate([noise, samples])
    expected = answers(TorchSession(program), batch)
    data = to_onnx(program, contract)
    found = answers(OnnxSession(data, contract), batch)
    difference = largest_difference(found, expected)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the ONNX export differs from the network by {difference:g}, more than {TOLERANCE:g}"
        )
    tensors = zip(Golden.outputs(contract.outputs), expected, strict=True)
    known = {name: rows[:GOLDEN_INSTANCES] for name, rows in tensors}
    golden = save({"input": noise[:GOLDEN_INSTANCES], **known})
    return Exported(
        files={ONNX_FILE: data, GOLDEN_FILE: golden},
        exports=(
            Export(
                format="onnx",
                file=ONNX_FILE,
                sha256=sha256_of(data),
                size_bytes=len(data),
                opset=OPSET,
                samples=len(batch),
                difference=float(f"{difference:.2e}"),
                tolerance=TOLERANCE,
            ),
        ),
        golden=Golden(GOLDEN_FILE, sha256_of(golden), GOLDEN_TOLERANCE),
    )


def to_onnx(program: Program, contract: Contract) -> bytes:
    """An ONNX program for batches of any size, its weights inside."""
    # An example of one would be taken for a batch that is always one.
    example = torch.from_numpy(random_instances(contract, 2))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of what the exporter itself uses
        exported = torch.onnx.export(
            program,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[contract.input.name],
            output_names=list(contract.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=True,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    # The exporter notes the sources of every node, by their paths on this machine.
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        noted.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
    return bytes(model.SerializeToString(deterministic=True))


def random_instances(contract: Contract, count: int) -> NDArray[Any]:
    """Instances that fit a contract of fixed size: random patches of light on a dark ground."""
    channels, height, width = contract.input.shape
    random = np.random.default_rng(0)
    coarse = random.random((count, channels, -(-height // 4), -(-width // 4)))
    light = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width]
    mean, std = (
        np.array(getattr(contract.input, name), np.float32)[:, None, None]
        for name in ("mean", "std")
    )
    found = (light * (light > 0.6) - mean) / std
    return np.ascontiguousarray(found.astype(NUMPY_TYPES[contract.input.dtype]))


def answers(session: Session, batch: NDArray[Any]) -> Arrays:
    """In passes of a few instances, the last of which is smaller."""
    parts = [session.run(batch[i : i + 31]) for i in range(0, len(batch), 31)]
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
