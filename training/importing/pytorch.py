"""A PyTorch module as something that answers, and that becomes an ONNX program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.importing.errors import ImportRefusedError, first_line
from training.onnx_program import export_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

HALVES = (torch.bfloat16, torch.float16)

DETECTOR = (
    "it is a whole detector: it resizes pictures and removes overlapping boxes by itself, for "
    "each picture another number, which no batch can hold. Give the network that comes before: "
    "its raw scores and boxes, for example `lambda: build().backbone_and_heads`"
)
BRANCH = (
    "its forward takes a branch, or a size, that depends on the values in a picture, so it is not "
    "one program for all pictures. Compute both ways and choose with torch.where, or take the "
    "branch out of forward. PyTorch says: {error}"
)
FIXED_BATCH = (
    "it works for one batch size only. Take the number of pictures from the input: for example "
    "x.flatten(1) instead of x.view(1, -1), and no x.squeeze() without an axis. PyTorch says: "
    "{error}"
)


def ready(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """In evaluation mode, in float32, on the CPU; and what the user is told of it."""
    kinds = {tensor.dtype for tensor in [*module.parameters(), *module.buffers()]}
    notes = [
        f"weights in {str(kind).removeprefix('torch.')} are computed with in float32"
        for kind in HALVES
        if kind in kinds
    ]
    return module.float().cpu().eval(), tuple(notes)


def named_outputs(found: Any) -> dict[str, Tensor]:
    """What a network gave, by name: a number where it is a sequence.

    Raises:
        ImportRefusedError: it is no tensors.
    """
    if isinstance(found, Tensor):
        return {"output": found}
    if isinstance(found, Mapping):
        named = {str(k): v for k, v in found.items() if isinstance(v, Tensor)}
        if named:
            return named
    elif isinstance(found, (tuple, list)):
        if found and isinstance(found[0], Mapping) and "boxes" in found[0]:
            raise ImportRefusedError(DETECTOR)
        named = {str(i): value for i, value in enumerate(found) if isinstance(value, Tensor)}
        if named:
            return named
    raise ImportRefusedError(
        f"it answers with a {type(found).__name__} that holds no tensors; give a network whose "
        "forward returns a tensor of scores"
    )


class Chosen(nn.Module):
    """A network's outputs of some names, in their order."""

    def __init__(self, network: Callable[..., Any], names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = named_outputs(self.network(batch))
        if len(self.names) == 1:
            return found[self.names[0]]
        return tuple(found[name] for name in self.names)


def answer_with(network: Callable[..., Any]) -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
    """A function from a batch to the network's outputs by name.

    It raises ImportRefusedError where the network cannot compute that batch.
    """

    def answer(batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        try:
            with torch.inference_mode():
                found = network(torch.from_numpy(batch))
        except Exception as error:  # a network may raise anything
            raise ImportRefusedError(
                f"it does not compute a batch {batch.shape}: {first_line(error)}"
            ) from error
        return {k: v.to(torch.float32).cpu().numpy() for k, v in named_outputs(found).items()}

    return answer


def export_module(network: nn.Module, example: NDArray[Any], names: Sequence[str]) -> ModelProto:
    """The network as an ONNX program for batches of any size.

    Args:
        network: in evaluation mode.
        example: a batch of two or more: one of one would be taken for a batch that is always one.

    Raises:
        ImportRefusedError: it is not one program for all pictures.
    """
    return _export(Chosen(network, names), example, names)


def export_program(program: torch.export.ExportedProgram, names: Sequence[str]) -> ModelProto:
    """The same of a program that torch.export made; all its outputs."""
    return _export(program, None, names)


def _export(
    program: nn.Module | torch.export.ExportedProgram,
    example: NDArray[Any] | None,
    names: Sequence[str],
) -> ModelProto:
    batch = None if example is None else torch.from_numpy(example)
    try:
        return export_onnx(program, "image", names, batch, {0: torch.export.Dim("batch")})
    except Exception as error:  # the exporter's stages have no common class of errors
        raise ImportRefusedError(export_refusal(error)) from error


def export_refusal(error: BaseException) -> str:
    """What to do about an error of the exporter."""
    texts, innermost, cause = [], "", error
    while cause is not None:
        texts.append(f"{type(cause).__name__}: {cause}")
        innermost = f"{type(cause).__name__}: {first_line(cause)}"
        cause = cause.__cause__  # type: ignore[assignment]
    text = "\n".join(texts)
    if "ata-dependent" in text or "DataDependent" in text or "control flow" in text:
        return BRANCH.format(error=innermost)
    if "Constraints violated" in text or "marked batch as dynamic" in text:
        return FIXED_BATCH.format(error=innermost)
    return f"PyTorch cannot export it to ONNX: {innermost}"
