"""A revision as a model folder of MLflow's: what its ``onnx`` flavour and any loader of it need.

https://mlflow.org/docs/latest/model/; MLflow itself is not needed. ``vision import`` reads such a
folder back, with labels and recipe from the model card that lies in it.

    MLmodel              flavours, signature, where the input example is (JSON, which is YAML)
    model.onnx           the network; of its inputs and outputs the contract's names
    input_example.json   one blank instance; serving_input_example.json: as it is sent to a server
    requirements.txt, conda.yaml, python_env.yaml
    vision/              all files of the revision, card and weights included
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artifact import ModelCard, Revision
from registry.errors import ExistsError, RefusedError

ONNX = "onnx"
FILE, PROGRAM, WHOLE = "MLmodel", "model.onnx", "vision"
EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"
PYTHON = "3.11"
PACKAGES = ("mlflow", "numpy", "onnx", "onnxruntime")
TYPES = {"FP32": "float32", "UINT8": "uint8"}


def write_folder(revision: Revision, folder: Path) -> Path:
    """Write a revision as a model folder, which is new.

    Raises:
        RefusedError: it has no ONNX program, or one with its weights in another file, or its
            tensors are of a type that MLflow cannot name.
        ExistsError: there is something in ``folder``.
        ArtifactError: a file is not the one that the card names.
    """
    card = revision.card
    revision.check_files()
    exports = [export for export in card.exports if export.format == ONNX]
    if not exports:
        raise RefusedError(f"{card.identity} has no ONNX program, which MLflow's model needs")
    if exports[0].weights is not None:
        raise RefusedError(
            f"{card.identity} has more weights than one ONNX file holds; MLflow's model is one file"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ExistsError(f"{folder} is not empty")
    (folder / WHOLE).mkdir(parents=True)
    for path in sorted(revision.folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, folder / WHOLE / path.name)
    shutil.copyfile(revision.folder / exports[0].file, folder / PROGRAM)
    blank = np.zeros((1, *card.contract.input.max_shape), _type(card.contract.input.dtype, card))
    example = {card.contract.input.name: blank.tolist()}
    _write(folder / EXAMPLE, example)
    _write(folder / SERVED_EXAMPLE, {"inputs": example})
    _write(folder / FILE, _described(revision))
    (folder / "requirements.txt").write_text("".join(f"{name}\n" for name in PACKAGES))
    pip = {"pip": list(PACKAGES)}
    _write(
        folder / "conda.yaml",
        {
            "name": "mlflow-env",
            "channels": ["conda-forge"],
            "dependencies": [f"python={PYTHON}", "pip", pip],
        },
    )
    _write(
        folder / "python_env.yaml",
        {"python": PYTHON, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]},
    )
    return folder


def _described(revision: Revision) -> dict[str, Any]:
    """What ``MLmodel`` says."""
    card, spec = revision.card, revision.card.contract.input
    outputs = zip(
        card.contract.outputs,
        card.contract.output_dtypes,
        card.contract.output_shapes(spec.shape),
        strict=True,
    )
    return {
        "flavors": {
            "onnx": {
                "code": None,
                "data": PROGRAM,
                "onnx_session_options": None,
                "onnx_version": "1.16.0",
                "providers": ["CPUExecutionProvider"],
                "save_as_external_data": False,
            },
            "python_function": {
                "loader_module": "mlflow.onnx",
                "data": PROGRAM,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "python_version": PYTHON,
            },
        },
        # The same revision is the same model: its digest, in the form of an identifier.
        "model_uuid": hashlib.sha256(revision.digest.encode()).hexdigest()[:32],
        "utc_time_created": (card.created or "1970-01-01T00:00:00Z")[:19].replace("T", " "),
        "signature": {
            "inputs": json.dumps([_tensor(spec.name, _type(spec.dtype, card), spec.shape)]),
            "outputs": json.dumps([_tensor(n, _type(t, card), shape) for n, t, shape in outputs]),
            "params": None,
        },
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "serving_input_path": SERVED_EXAMPLE,
            "type": "ndarray",
        },
        "metadata": {
            "revision": card.identity,
            "digest": revision.digest,
            "data": None if card.data is None else card.data.digest,
        },
    }


def _tensor(name: str, kind: str, shape: Sequence[int]) -> dict[str, Any]:
    spec = {"dtype": kind, "shape": [-1, *shape]}
    return {"type": "tensor", "tensor-spec": spec, "name": name}


def _type(dtype: str, card: ModelCard) -> str:
    if dtype not in TYPES:
        raise RefusedError(f"{card.identity}: MLflow has no name for tensors of {dtype}")
    return TYPES[dtype]


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
