"""One architecture: written to a file, imported, served, and asked about every photograph."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from artifact import ImageInput, PhotographContract, model_contract
from benchmarks.architectures.choice import Architecture
from benchmarks.architectures.originals import build
from common.errors import StartError
from common.processes import ROOT
from local.service import LocalService, free_ports, interpreters
from transformer.frames.placement import placing_for
from transformer.segmentation.photographs import mask_of

TOLERANCE = 1e-4
ANSWER_SECONDS = 300.0

IMPORT_SECONDS = 3600
"""In place of the command's own bound: that a machine is busy is no reason to refuse a network."""

EQUAL, DIFFERENT, REFUSED, FAILED = "equal", "different", "refused", "failed"


@dataclass(frozen=True)
class Comparison:
    """What became of an architecture.

    Attributes:
        outcome: ``equal`` within the tolerance, ``different``, ``refused`` by the import with a
            reason, or ``failed`` in another way.
        difference: largest of the probabilities' differences; of segmentation the share of a
            photograph's pixels that have another label than by the original's scores.
        certainty: mean of the original's largest probability, over photographs (and pixels).
        classes: how many classes the original's best answers have: more than one, or nothing of
            the picture was compared.
        import_seconds: of the one command.
        reason: why it was refused or failed.
    """

    architecture: str
    task: str
    seed: int
    outcome: str
    parameters: int = 0
    difference: float | None = None
    certainty: float | None = None
    classes: int = 0
    import_seconds: float = 0.0
    reason: str = ""


def compare(architecture: Architecture, seed: int, pictures: Sequence[Path]) -> Comparison:
    """Everything about one architecture; a fault becomes the outcome."""
    name, task = architecture.identity, architecture.task
    with tempfile.TemporaryDirectory(prefix="architecture-") as folder:
        root = Path(folder)
        try:
            original = build(architecture, seed, pictures)
            logits = original.logits(pictures)
        except Exception as error:  # libraries raise anything
            return Comparison(name, task, seed, FAILED, reason=f"the original: {error}")
        parameters, published = original.parameters, original.published
        torch.save(original.network.state_dict(), root / "weights.pth")
        del original
        started = time.monotonic()
        refused = run_import(architecture, published, root)
        seconds = time.monotonic() - started
        if refused is not None:
            outcome = REFUSED if refused.startswith("import: ") else FAILED
            reason = refused.removeprefix("import: ")
            return Comparison(
                name, task, seed, outcome, parameters, import_seconds=seconds, reason=reason
            )
        expected = torch.softmax(logits, 1).numpy()
        try:
            found = ask(architecture.model, root / "models", pictures)
            if task == "segmentation":
                masks = masks_of(architecture.model, root / "models", pictures, logits.numpy())
                wrong = [(f["mask"] != m).mean() for f, m in zip(found, masks, strict=True)]
                difference = float(max(wrong))
            else:
                rows = np.concatenate([outputs["probabilities"] for outputs in found])
                difference = float(np.abs(rows - expected).max())
        except (StartError, OSError, ValueError, KeyError) as error:
            return Comparison(
                name, task, seed, FAILED, parameters, import_seconds=seconds, reason=str(error)
            )
    return Comparison(
        name,
        task,
        seed,
        EQUAL if difference <= TOLERANCE else DIFFERENT,
        parameters,
        difference,
        float(expected.max(1).mean()),
        len(np.unique(expected.argmax(1))),
        seconds,
    )


def run_import(architecture: Architecture, published: str, root: Path) -> str | None:
    """``vision import`` as a user types it; the last lines of what it said, if it refused."""
    command = [sys.executable, "-m", "cli", "import", architecture.model, str(root / "weights.pth")]
    command += ["--network", architecture.identity, "--models", str(root / "models")]
    command += ["--numbered-labels", "--seconds", str(IMPORT_SECONDS)]
    if architecture.task == "segmentation":
        command += ["--task", "segmentation"]
    else:
        command += ["--activation", "softmax"]
    if published:
        command += ["--pretrained", published]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split())[-600:] or f"ended with {done.returncode}"


def ask(model: str, root: Path, pictures: Sequence[Path]) -> list[dict[str, NDArray[Any]]]:
    """Outputs of every photograph, from both servers, by the Open Inference Protocol."""
    found = []
    service = LocalService(
        free_ports(), interpreters(), root, {model: "1"}, log_folder=root.parent, alone=True
    )
    with service:
        for picture in pictures:
            encoded = base64.b64encode(picture.read_bytes()).decode()
            tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [encoded]}
            request = urllib.request.Request(
                f"{service.url}/v2/models/{model}/infer",
                json.dumps({"inputs": [tensor]}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
                outputs = json.loads(response.read())["outputs"]
            found.append({o["name"]: np.reshape(o["data"], o["shape"]) for o in outputs})
    return found


def masks_of(
    model: str, root: Path, pictures: Sequence[Path], scores: NDArray[np.float32]
) -> list[NDArray[np.uint8]]:
    """The best label of each pixel by the original's scores, interpolated as in serving."""
    contract = model_contract(root, model, "1")
    assert isinstance(contract, PhotographContract)
    placed = placing_for(contract.input_as(ImageInput))
    sizes = [Image.open(picture).size for picture in pictures]
    return [
        mask_of(rows, placed(size, size), contract)
        for rows, size in zip(scores, sizes, strict=True)
    ]
