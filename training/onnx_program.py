"""PyTorch's exporter to ONNX, as everything here calls it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from training.attention import FourAxesAttention, with_four_axes

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18


def export_onnx(
    program: torch.nn.Module | torch.export.ExportedProgram,
    input_name: str,
    output_names: Sequence[str],
    example: torch.Tensor | None = None,
    free: dict[int, Any] | None = None,
) -> ModelProto:
    """An ONNX program of a module, or of what torch.export made of one.

    Args:
        example: a batch for a module; a program that torch.export made has its own. One of one
            would be taken for a batch that is always one.
        free: sizes by the axes of ``example`` that may change.

    Raises:
        Exception: of any class, and with causes: what the exporter's stages raise.
    """
    given: dict[str, Any] = {}
    if example is not None:
        given = {"args": (example,), "dynamic_shapes": (free,), "opset_version": OPSET}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode(), FourAxesAttention():
        warnings.simplefilter("ignore")  # of what the exporter itself uses
        if isinstance(program, torch.export.ExportedProgram):
            program = with_four_axes(program)
        exported = torch.onnx.export(
            program,
            **given,
            dynamo=True,
            input_names=[input_name],
            output_names=list(output_names),
            optimize=True,
            verbose=False,
        )
    assert exported is not None
    found: ModelProto = exported.model_proto
    return found
