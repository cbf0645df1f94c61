"""From what the confined process wrote to a revision: its files are data, and are read as such."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from artifact import (
    WEIGHTS_FILE,
    Baseline,
    Export,
    Golden,
    ModelCard,
    Revision,
    Weights,
    sha256_of,
    write_revision,
)
from artifact.card import read_contract
from artifact.fields import Fields
from training.importing.errors import SandboxError
from training.importing.sandbox.process import read_file

ONNX_FILE = "model.onnx"
ONNX_WEIGHTS_FILE = "model.safetensors"
GOLDEN_FILE = "golden.safetensors"
GOLDEN_TOLERANCE = 1e-4
"""At least: of any engine on any processor, whose sums are in another order."""


def write(root: Path, name: str, revision: str, out: Path, report: dict[str, Any]) -> Revision:
    """Write the revision.

    Args:
        out: the folder that the process wrote to.
        report: what it said of its files.

    Raises:
        ArtifactError: the revision is there already, or the model's others have another contract.
        SandboxError: what the process wrote is not what it says.
    """
    try:
        program, golden = read_file(out / ONNX_FILE), read_file(out / GOLDEN_FILE)
        weights = read_file(out / WEIGHTS_FILE) if (out / WEIGHTS_FILE).exists() else None
        files = {ONNX_FILE: program, GOLDEN_FILE: golden}
        beside = None
        if (out / ONNX_WEIGHTS_FILE).exists():
            files[ONNX_WEIGHTS_FILE] = tensors = read_file(out / ONNX_WEIGHTS_FILE)
            beside = Weights(ONNX_WEIGHTS_FILE, sha256_of(tensors), len(tensors))
        fields = Fields(report)
        contract = fields.read("contract", read_contract)
        baseline = fields.if_there("baseline", lambda f: fields.read(f, Baseline.read))
        fields.refuse()
        assert contract is not None
        tolerance = float(report["tolerance"])
        export = Export(
            format="onnx",
            file=ONNX_FILE,
            sha256=sha256_of(program),
            size_bytes=len(program),
            opset=int(report["opset"]),
            samples=int(report["samples"]),
            difference=float(report["difference"]),
            tolerance=tolerance,
            weights=beside,
        )
        card = ModelCard(
            name=name,
            revision=revision,
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            contract=contract,
            exports=(export,),
            golden=Golden(GOLDEN_FILE, sha256_of(golden), max(tolerance, GOLDEN_TOLERANCE)),
            source=dict(report["source"]),
            libraries=dict(report["libraries"]),
            baseline=baseline,
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SandboxError(f"the process that opened it wrote no revision: {error}") from None
    return write_revision(root, card, weights, files)
