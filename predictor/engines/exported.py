"""The ONNX program that a revision carries, for the engines that run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from artifact import Contract, Export, Revision
from predictor.engines.engine import EngineError, Session


def onnx_export(revision: Revision) -> Export | None:
    """What the card says of the revision's ONNX program; None where it has none."""
    return next((export for export in revision.card.exports if export.format == "onnx"), None)


def export_refusal(revision: Revision) -> str | None:
    """Why the program cannot stand for the PyTorch network; None where it can."""
    export = onnx_export(revision)
    if export is None:
        return "the card names no ONNX export"
    if not export.is_equal:
        return (
            f"{export.file} differs from the PyTorch network by {export.difference:g}, "
            f"more than its tolerance of {export.tolerance:g}"
        )
    return None


def load_export(
    revision: Revision, start: Callable[[bytes, Mapping[str, NDArray[Any]]], Session]
) -> Session:
    """The session that ``start`` makes of the program's bytes; an error names revision and file.

    Args:
        start: is also given the weights that lie beside the program, by name.

    Raises:
        EngineError: what ``start`` raised.
    """
    export = onnx_export(revision)
    assert export is not None
    try:
        return start(revision.read_export(export), _weights_beside(revision, export))
    except EngineError as error:
        raise EngineError(f"{revision.card.identity}: {export.file}: {error}") from None


def needed_bytes(revision: Revision) -> int:
    """Memory that loading the program takes at least: the file, and the session's copy."""
    export = onnx_export(revision)
    return 0 if export is None else 2 * export.total_bytes


def _weights_beside(revision: Revision, export: Export) -> Mapping[str, NDArray[Any]]:
    if export.weights is None:
        return {}
    # Programs that hold their weights start without it.
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(revision.read_export_weights(export))
    except SafetensorError as error:
        raise EngineError(f"{export.weights.file} cannot be read: {error}") from None


def check_names(inputs: list[str], outputs: list[str], contract: Contract) -> None:
    """See that a program has the contract's input, and its outputs first and in order.

    Raises:
        EngineError: it has not.
    """
    wanted = list(contract.outputs)
    if inputs != [contract.input.name] or outputs[: len(wanted)] != wanted:
        raise EngineError(
            f"expected input {contract.input.name} and output {', '.join(wanted)}, "
            f"got {', '.join(inputs)} and {', '.join(outputs)}"
        )
