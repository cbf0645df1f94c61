"""An ONNX file, whoever made it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.importing import graph
from training.importing.checks import BATCH_OF_ONE, SAME, relative
from training.importing.errors import ImportRefusedError, first_line
from training.importing.request import Request
from training.importing.source import Opened
from training.importing.sources.state_dict import file_facts

if TYPE_CHECKING:
    from onnx import ModelProto

CHANNELS = {1: "L", 3: "RGB"}
LABEL_KEYS = ("labels", "names", "classes", "class_names", "id2label", "character")
"""Under which exporters keep labels in a file's metadata."""


class OnnxSource:
    """Its own program is the reference, and what is served."""

    def recognises(self, request: Request) -> bool:
        return request.path.suffix == ".onnx" and request.path.is_file()

    def open(self, request: Request) -> Opened:
        model = graph.read_program(request.path)
        return open_program(model, request, {"kind": "onnx", **file_facts(request.path)})


def open_program(model: ModelProto, request: Request, facts: dict[str, Any]) -> Opened:
    """A program of one picture input, for batches of any size.

    Raises:
        ImportRefusedError: it has several inputs, takes no pictures, or one at a time only.
    """
    inputs = graph.inputs_of(model)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ImportRefusedError(f"it has {len(inputs)} inputs ({names}); a network here takes one")
    shape = graph.dimensions(inputs[0])
    if len(shape) != 4:
        raise ImportRefusedError(
            f"its input {inputs[0].name} has {len(shape)} axes; pictures are (n, channels, height, "
            "width) or (n, height, width, channels)"
        )
    recipe, labels = _recipe(shape), _labels(model)
    wanted = (request.recipe.get("height"), request.recipe.get("width"))
    sides = (2, 3) if recipe.get("layout") != "NHWC" else (1, 2)
    given = tuple(shape[axis] for axis in sides)
    resized = wanted not in ((None, None), given) and None not in given
    graph.take_float32(model)
    outputs = tuple(value.name for value in model.graph.output)
    fixed = shape[0] is not None
    before = _session(model)
    if fixed or resized:
        graph.free_dimensions(model, (0, *sides) if resized else (0,))
    answer = _session(model)
    if shape[0] == 1 and not resized:
        _check_batch(before, answer, shape, wanted)
    else:
        _check_batch(None, answer, shape, wanted)

    def to_onnx(_: NDArray[Any], chosen: Sequence[str]) -> ModelProto:
        graph.keep_outputs(model, chosen)
        return model

    return Opened(
        answer=lambda batch: dict(zip(outputs, answer(batch), strict=True)),
        to_onnx=to_onnx,
        recipe=recipe,
        labels=labels,
        facts=facts,
        libraries=("onnxruntime",),
    )


def _recipe(shape: tuple[int | None, ...]) -> dict[str, Any]:
    """What the input's shape tells."""
    if shape[1] not in CHANNELS and shape[3] in CHANNELS:
        found: dict[str, Any] = {"layout": "NHWC", "mode": CHANNELS[shape[3]]}
        sides = shape[1:3]
    else:
        found = {} if shape[1] not in CHANNELS else {"mode": CHANNELS[shape[1]]}
        sides = shape[2:4]
    if None not in sides:
        found |= {"height": sides[0], "width": sides[1]}
    return found


def _labels(model: ModelProto) -> tuple[str, ...]:
    """From the file's metadata; empty where it has none."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for key in LABEL_KEYS:
        if key in metadata:
            return read_listed(metadata[key])
    return ()


def read_listed(text: str) -> tuple[str, ...]:
    """Labels as exporters write them: JSON, Python's notation of a dict or list, or lines."""
    import ast

    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict):
            return tuple(str(found[k]) for k in sorted(found, key=int))
        if isinstance(found, list):
            return tuple(map(str, found))
    return tuple(line for line in text.splitlines() if line)


def _session(model: ModelProto) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in predictor/engines/onnx_runtime.py
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            graph.to_bytes(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no common class
        raise ImportRefusedError(f"ONNX Runtime cannot run it: {first_line(error)}") from None
    name = session.get_inputs()[0].name

    def answer(batch: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            found: list[NDArray[Any]] = session.run(None, {name: batch})
        except Exception as error:  # likewise
            raise ImportRefusedError(
                f"it does not compute a batch {batch.shape}: {first_line(error)}"
            ) from None
        return found

    return answer


def _check_batch(
    alone: Callable[[NDArray[Any]], list[NDArray[Any]]] | None,
    together: Callable[[NDArray[Any]], list[NDArray[Any]]],
    shape: tuple[int | None, ...],
    wanted: tuple[int | None, int | None],
) -> None:
    """See that a program answers two pictures as it does one by one.

    Args:
        alone: as the file has it; None where it says that it takes any number.
    """
    axes = [side or 224 for side in shape[1:]]
    if wanted[0] and wanted[1]:
        place = 0 if shape[1] not in CHANNELS and shape[3] in CHANNELS else 1
        axes[place : place + 2] = [wanted[0], wanted[1]]
    batch = np.random.default_rng(0).random((2, *axes), np.float32)
    try:
        found = together(batch)
    except ImportRefusedError as error:
        if alone is None and shape[0] is None:
            return  # a size that it does not take; the recipe's is tried later
        raise ImportRefusedError(BATCH_OF_ONE.format(error=error)) from None
    if any(len(answer) != 2 for answer in found):
        raise ImportRefusedError(BATCH_OF_ONE.format(error="two pictures get one answer"))
    if alone is not None:
        each = [alone(batch[i : i + 1]) for i in range(2)]
        expected = [np.concatenate(parts) for parts in zip(*each, strict=True)]
        if relative(expected, found) > SAME:
            raise ImportRefusedError(BATCH_OF_ONE.format(error="two get other answers than each"))


SOURCE = OnnxSource()
