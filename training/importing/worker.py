"""What the confined process does: open, ask, convert, compare, and write what is to be served."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artifact import WEIGHTS_FILE, Contract, Golden, ImageInput, as_document
from predictor.engines import EngineError
from predictor.engines.onnx_runtime import OnnxSession
from training.baseline import ENOUGH, Outputs, baseline_of
from training.export import GOLDEN_INSTANCES
from training.importing import graph
from training.importing.checks import check_network, first_answers
from training.importing.comparison import compare
from training.importing.errors import ImportRefusedError
from training.importing.heads import Head, find_head, head_names
from training.importing.labels import distinct
from training.importing.pictures import random_tensors, read_picture, tensors
from training.importing.publish import GOLDEN_FILE, ONNX_FILE, ONNX_WEIGHTS_FILE
from training.importing.recipes.complete import INPUT_NAME, complete
from training.importing.recipes.inferred import infer
from training.importing.request import Request
from training.importing.source import Opened, open_source
from transformer.pictures.preprocess import prepare

if TYPE_CHECKING:
    from onnx import ModelProto

NOISE = 6
PASS = 8


def import_network(out: Path, raw: dict[str, Any]) -> dict[str, Any]:
    """Import one network.

    Writes ``model.onnx``, ``golden.safetensors`` and, where there are weights of PyTorch,
    ``weights.safetensors`` to ``out``; of a program that one file cannot hold, its weights to
    ``model.safetensors``.

    Returns:
        What the card says of them.

    Raises:
        ImportRefusedError: it cannot be imported; the message says what to do.
    """
    request = Request(**{**raw, "labels": tuple(raw["labels"]), "samples": tuple(raw["samples"])})
    opened = open_source(request)
    notes = list(opened.notes)
    labels, twice = distinct(request.labels or opened.labels)
    if twice:
        notes.append(f"labels that stand there twice have their number behind: {', '.join(twice)}")
    if request.pictures:
        spec, found = infer(opened, request, request.output or None, labels)
        notes.append(found)
    else:
        spec = complete(opened, request)
    samples = tensors(request.samples, spec)
    batch = np.concatenate([random_tensors(spec, NOISE), samples])
    answers = dict(first_answers(opened.answer, batch[-2:]))
    head = _head(answers, batch[-2:], request)
    names = head.choose(answers, request)
    check_network(opened.answer, batch, names)
    raw_answers = _in_passes(opened, batch, names)
    contract = head.contract(spec, raw_answers, labels, request)
    expected = head.finish(contract, raw_answers, request)
    program = _program(opened, head, contract, batch, names, raw_answers, request)
    weights = graph.take_weights(program)
    served = graph.to_bytes(program)
    found_answers = _served(served, weights, contract, batch)
    if [e.shape for e in expected] != [f.shape for f in found_answers]:
        raise ImportRefusedError(
            f"the ONNX program answers {[f.shape for f in found_answers]}, the network "
            f"{[e.shape for e in expected]}"
        )
    compared = compare(
        batch,
        expected,
        found_answers,
        lambda rows: head.finish(contract, _in_passes(opened, rows, names), request),
        request.tolerance,
        0 if request.shipped_samples else len(samples),
    )
    notes += compared.notes
    (out / ONNX_FILE).write_bytes(served)
    if weights:
        from safetensors.numpy import save_file as save_arrays

        save_arrays(weights, out / ONNX_WEIGHTS_FILE)
    _write_golden(out, contract, compared.batch, compared.expected)
    if opened.weights:
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in opened.weights.items()}, out / WEIGHTS_FILE)
    return {
        "contract": contract.as_json(),
        "opset": graph.opset_of(program),
        "samples": len(compared.batch),
        "difference": float(f"{compared.difference:.2e}"),
        "tolerance": request.tolerance,
        "pictures": len(samples),
        "source": opened.facts,
        "libraries": {name: metadata.version(name) for name in opened.libraries},
        "notes": notes,
        **_baseline(request, contract, tuple(rows[-len(samples) :] for rows in found_answers)),
    }


def _baseline(request: Request, contract: Contract, outputs: Outputs) -> dict[str, Any]:
    """What the sample pictures and the answers to them are like, where there are enough."""
    if len(request.samples) < ENOUGH:
        return {}
    spec = contract.input_as(ImageInput)
    pictures, pixels = [], []
    for path in request.samples:
        picture = read_picture(Path(path))
        pictures.append(prepare(picture, spec))
        pixels.append(picture.width * picture.height)
    return {"baseline": as_document(baseline_of(contract, pictures, outputs, pixels=pixels))}


def _head(answers: dict[str, NDArray[Any]], batch: NDArray[Any], request: Request) -> Head:
    if request.task:
        return find_head(request.task)
    for name in head_names():
        head = find_head(name)
        if head.fits(answers, batch):
            return head
    shapes = ", ".join(f"{name} {found.shape}" for name, found in answers.items())
    raise ImportRefusedError(
        f"for a batch {batch.shape} it answers {shapes}: of no task that is known here "
        f"({', '.join(head_names())}). Say --task, or --output NAME"
    )


def _in_passes(opened: Opened, batch: NDArray[Any], names: tuple[str, ...]) -> list[NDArray[Any]]:
    parts = [opened.answer(batch[i : i + PASS]) for i in range(0, len(batch), PASS)]
    return [np.concatenate([part[name] for part in parts]) for name in names]


def _program(
    opened: Opened,
    head: Head,
    contract: Contract,
    batch: NDArray[Any],
    names: tuple[str, ...],
    answers: list[NDArray[Any]],
    request: Request,
) -> ModelProto:
    """The ONNX program that is served."""
    model = opened.to_onnx(batch[:2], names)
    (image,) = graph.inputs_of(model)
    graph.rename(model, {image.name: INPUT_NAME})
    head.append(model, contract, answers, request)
    return model


def _served(
    program: bytes, weights: dict[str, NDArray[Any]], contract: Contract, batch: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """The answers of the engine that will serve it, in passes of which the last is smaller."""
    try:
        session = OnnxSession(program, contract, weights)
    except EngineError as error:
        raise ImportRefusedError(f"ONNX Runtime cannot serve what became of it: {error}") from None
    parts = [session.run(batch[i : i + PASS - 1]) for i in range(0, len(batch), PASS - 1)]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def _write_golden(
    out: Path, contract: Contract, batch: NDArray[Any], expected: tuple[NDArray[Any], ...]
) -> None:
    from safetensors.numpy import save_file

    count = min(GOLDEN_INSTANCES, len(batch))
    tensors = {"input": np.ascontiguousarray(batch[-count:])}
    for name, rows in zip(Golden.outputs(contract.outputs), expected, strict=True):
        tensors[name] = np.ascontiguousarray(rows[-count:])
    save_file(tensors, out / GOLDEN_FILE)
