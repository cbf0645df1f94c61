"""Give revisions of card format 1 an export: ``python -m training.upgrade NAME/REVISION …``.

Weights and contract stay as they are; the card becomes one of the present format, so that the
digest of the revision (``model_digest`` of its answers) is another one from then on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load

from artifact import (
    CARD_FILE,
    ArtifactError,
    ModelCard,
    Revision,
    open_revision,
    write_revision,
)
from predictor.engines.torch_session import load_program
from training.export import export
from training.tasks import training_task


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.upgrade")
    parser.add_argument("revisions", nargs="+", metavar="NAME/REVISION")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where they are")
    parser.add_argument("--data", help="the data sets' folder")
    options = parser.parse_args()
    for identity in options.revisions:
        name, _, number = identity.partition("/")
        try:
            revision = upgrade(
                options.models, open_revision(options.models, name, number), options.data
            )
        except (ArtifactError, ValueError) as error:
            print(f"{identity}: {error}", file=sys.stderr)
            return 1
        (found,) = revision.card.exports
        print(
            f"{identity}: {found.file}, {found.size_bytes} bytes; largest difference "
            f"{found.difference:g} in {found.samples} instances"
        )
    return 0


def upgrade(root: Path, revision: Revision, data: str | None = None) -> Revision:
    """Export a revision's network, and write the revision anew.

    Raises:
        ArtifactError: the revision is not complete, or its card names no data set.
        ValueError: it has exports, or the export answers otherwise than the network.
    """
    card = revision.card
    if card.exports:
        raise ValueError("has an export already")
    if card.weights is None:
        raise ArtifactError("the card names no weights to export")
    samples = training_task(card.contract.task).samples(card, data)
    weights = load(revision.read_weights()).values()
    half = all(w.dtype == torch.float16 for w in weights if w.is_floating_point())
    exported = export(load_program(revision), card.contract, samples, half)
    return exchange(root, revision, exported.named_in(card), exported.files)


def exchange(
    root: Path, revision: Revision, card: ModelCard, files: Mapping[str, bytes]
) -> Revision:
    """Write a revision anew, with another card and further files.

    Raises:
        ArtifactError: as for ``artifact.write_revision``; nothing was changed.
    """
    weights = None if revision.card.weights is None else revision.read_weights()
    # Written beside, then exchanged: at no moment is there half a revision.
    draft = root / f".{card.name}-{card.revision}"
    try:
        everything = {**beside_the_card(revision), **files}
        written = write_revision(draft, card, weights, everything)
        old = draft / "old"
        revision.folder.rename(old)
        written.folder.rename(revision.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return open_revision(root, card.name, card.revision)


def beside_the_card(revision: Revision) -> dict[str, bytes]:
    """All files of a revision by name but its card and its weights."""
    card = revision.card
    own = {CARD_FILE, *([] if card.weights is None else [card.weights.file])}
    return {p.name: p.read_bytes() for p in revision.folder.iterdir() if p.name not in own}


if __name__ == "__main__":
    sys.exit(main())
