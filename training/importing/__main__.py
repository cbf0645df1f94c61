"""``vision import NAME SOURCE``: a revision from a network that was trained elsewhere."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from artifact import ArtifactError, Revision, next_revision
from artifact.fields import NAME
from registry.errors import RegistryError
from registry.mlflow_server import download
from training.importing.errors import ImportRefusedError, SandboxError
from training.importing.labels import read_labels
from training.importing.options import parser, read_object, recipe_of
from training.importing.pictures import samples
from training.importing.publish import write
from training.importing.request import Request
from training.importing.sandbox import Bounds, run_confined
from training.importing.sandbox.process import printable

WORKER = "training.importing.worker:import_network"
MLFLOW = ("models:/", "runs:/")
"""Beginnings of the addresses of a registry of MLflow's, which MLFLOW_TRACKING_URI names."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    start = time.monotonic()
    try:
        written, notes = import_network(options)
    except (ImportRefusedError, SandboxError, ArtifactError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(printable(note))
    print(summary(written, time.monotonic() - start))
    return 0


def import_network(options: argparse.Namespace) -> tuple[Revision, list[str]]:
    """Import what the options say, fetched first where a registry of MLflow's has it.

    Returns and raises as ``import_local``.
    """
    if not options.source.startswith(MLFLOW):
        return import_local(options)
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetched = download(options.source, Path(folder))
        except RegistryError as error:
            raise ImportRefusedError(str(error)) from None
        return import_local(argparse.Namespace(**{**vars(options), "source": str(fetched)}))


def import_local(options: argparse.Namespace) -> tuple[Revision, list[str]]:
    """Import what lies here, or a network by name.

    Returns:
        The revision, and what the user should know of it.

    Raises:
        ImportRefusedError: it cannot be imported; says what to do.
        SandboxError: the process that opens it cannot be confined, or failed.
        ArtifactError: the revision is there, or the model's others have another contract.
    """
    if not re.fullmatch(NAME.expression, options.name):
        raise ImportRefusedError(f"the name {options.name!r} must be of a-z, 0-9 and -")
    revision = options.revision or next_revision(options.models, options.name)
    recipe, known = recipe_of(options)
    source = Path(options.source)
    is_path = source.exists()
    if not is_path and ":" not in options.source:
        raise ImportRefusedError(f"{options.source} is not there")
    request = Request(
        name=options.name,
        source=str(source.resolve()) if is_path else options.source,
        network=options.network,
        arguments=options.arguments,
        seed=options.seed,
        pretrained=options.pretrained,
        output=options.output,
        contract=read_object("--contract", options.contract) if options.contract else {},
        task=options.task,
        activation=options.activation,
        labels=read_labels(options.labels) if options.labels else (),
        numbered=options.numbered_labels,
        recipe=recipe,
        known_recipe=known,
        pictures=str(options.pictures.resolve()) if options.pictures else "",
        samples=tuple(map(str, samples(options.samples))),
        shipped_samples=options.samples is None,
        tolerance=options.tolerance,
    )
    readable = [*map(Path, request.samples)]
    if is_path:
        readable += beside(source.resolve())
    if request.pictures:
        readable.append(Path(request.pictures))
    code = options.code or code_folder(options.network, source if is_path else None)
    bounds = Bounds(options.memory_gb, options.seconds)
    with run_confined(
        WORKER,
        asdict(request),
        readable,
        bounds,
        not options.without_sandbox,
        code.resolve() if code else None,
    ) as (out, report):
        return write(options.models, options.name, revision, out, report), report.get("notes", [])


def code_folder(network: str, source: Path | None) -> Path | None:
    """Where a network's module is looked for: beside its weights, or here; None without one."""
    if ":" not in network:
        return None
    module = network.partition(":")[0].partition(".")[0]
    here = source.parent if source else Path.cwd()
    lies_here = (here / f"{module}.py").is_file() or (here / module).is_dir()
    return here if lies_here else Path.cwd()


def beside(source: Path) -> list[Path]:
    """A source, and the files that belong to it: an ONNX program's weights lie beside it."""
    if source.is_dir():
        return [source]
    stem = source.name.partition(".")[0]
    return [path for path in source.parent.iterdir() if path.name.startswith(stem)]


def summary(revision: Revision, seconds: float) -> str:
    """What became of it, and how to serve it."""
    card = revision.card
    (export,) = card.exports
    labels = f"{len(card.contract.labels)} labels" if card.contract.labels else "no labels"
    return (
        f"wrote {revision.folder} in {seconds:.0f} s: {card.contract.task}, {labels}, "
        f"{export.total_bytes / 1e6:.1f} MB\n"
        f"largest difference from the network itself on {export.samples} pictures: "
        f"{export.difference:g} ({export.tolerance:g} is allowed)\n"
        f"serve it:  vision serve {card.name}   or   make run MODELS={card.name}"
    )


if __name__ == "__main__":
    sys.exit(main())
