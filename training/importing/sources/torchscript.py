"""TorchScript: a traced or scripted module, which runs without its author's code."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from training.importing import graph
from training.importing.archive import TORCHSCRIPT, kind_of
from training.importing.errors import ImportRefusedError, first_line
from training.importing.pytorch import Chosen, answer_with, export_refusal, ready
from training.importing.request import Request
from training.importing.source import Opened
from training.importing.sources.state_dict import file_facts

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""The newest that torch's exporter of TorchScript writes."""


class TorchScriptSource:
    """What ``torch.jit.save`` writes."""

    def recognises(self, request: Request) -> bool:
        return kind_of(request.path) == TORCHSCRIPT

    def open(self, request: Request) -> Opened:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that TorchScript is deprecated
                module = torch.jit.load(request.path, map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise ImportRefusedError(
                f"{request.path.name} is no TorchScript that can be opened: {first_line(error)}"
            ) from None
        weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
        module, notes = ready(module)

        def to_onnx(example: NDArray[Any], names: Sequence[str]) -> ModelProto:
            return _export(module, example, names)

        return Opened(
            answer=answer_with(module),
            to_onnx=to_onnx,
            weights=weights,
            facts={"kind": "torchscript", **file_facts(request.path)},
            libraries=("torch",),
            notes=notes,
        )


def _export(module: Any, example: NDArray[Any], names: Sequence[str]) -> ModelProto:
    """By the exporter of TorchScript: that of torch.export takes none."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.from_numpy(example)
    written = Path(tempfile.mkdtemp()) / "model.onnx"
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that it is deprecated
            torch.onnx.export(
                torch.jit.trace(Chosen(module, names), batch, check_trace=False),
                (batch,),
                written,
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=list(names),
                dynamic_axes={name: {0: "batch"} for name in ["image", *names]},
            )
    except Exception as error:  # the exporter's stages have no common class of errors
        raise ImportRefusedError(export_refusal(error)) from error
    return graph.read_program(written)


SOURCE = TorchScriptSource()
