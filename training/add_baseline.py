"""Give a revision a baseline: ``python -m training.add_baseline NAME/REVISION …``.

A revision never changes, so its successor is written, of the same weights and contract, with the
next number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from artifact import (
    ArtifactError,
    Baseline,
    ImageInput,
    Revision,
    known,
    next_revision,
    open_revision,
    write_revision,
)
from predictor.loading import load
from training.baseline import ENOUGH, answers, baseline_of, classifier_baseline
from training.data import data_folder, load_data, split_off
from training.importing.errors import ImportRefusedError
from training.importing.pictures import PICTURES, read_picture
from training.upgrade import beside_the_card, exchange
from transformer.pictures.preprocess import prepare


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.add_baseline", description=__doc__)
    parser.add_argument("revisions", nargs="+", metavar="NAME/REVISION")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where they are")
    parser.add_argument("--data", help="the data sets' folder")
    parser.add_argument(
        "--pictures", type=Path, help="pictures as people send them, in place of held-out ones"
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="write the revision's own card anew, where it has not been published: its digest "
        "becomes another",
    )
    options = parser.parse_args(arguments)
    for identity in options.revisions:
        name, _, number = identity.partition("/")
        try:
            revision = open_revision(options.models, name, number)
            written = add_baseline(options, revision)
        except (ArtifactError, ImportRefusedError, ValueError) as error:
            print(f"{identity}: {error}", file=sys.stderr)
            return 1
        found = known(written.card.baseline, "baseline")
        print(f"{written.card.identity}: a baseline of {found.pictures} pictures")
    return 0


def add_baseline(options: argparse.Namespace, revision: Revision) -> Revision:
    """Write the successor of a revision, or the revision anew, with a baseline.

    Raises:
        ArtifactError, ImportRefusedError, ValueError: the pictures are not there, or too few; or
            it cannot be written.
    """
    card = revision.card
    if options.pictures is not None:
        baseline = baseline_of_files(revision, files_of(options.pictures))
    else:
        split = card.training
        data = load_data(known(card.data, "data").name, data_folder(options.data))
        _, held_out = split_off(data.train, int(split["validation"]), int(split["split_seed"]))
        run = load(revision).outputs
        baseline = classifier_baseline(card.contract, run, held_out, data.train.labels)
    root: Path = options.models
    if options.in_place:
        return exchange(root, revision, replace(card, baseline=baseline), {})
    successor = replace(
        card,
        revision=next_revision(root, card.name),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        parent=card.identity,
        baseline=baseline,
    )
    weights = None if card.weights is None else revision.read_weights()
    return write_revision(root, successor, weights, beside_the_card(revision))


def baseline_of_files(revision: Revision, paths: Sequence[Path]) -> Baseline:
    """Of pictures that nobody has labelled, in the sizes that they have.

    Raises:
        ImportRefusedError: one is no picture, or they are too few.
        ArtifactError: the revision cannot be loaded, or takes no pictures.
    """
    if len(paths) < ENOUGH:
        raise ImportRefusedError(f"{len(paths)} pictures; a baseline takes {ENOUGH} at least")
    contract = revision.card.contract
    spec = contract.input_as(ImageInput)
    pictures, pixels = [], []
    for path in paths:
        opened = read_picture(path)
        pictures.append(prepare(opened, spec))
        pixels.append(opened.width * opened.height)
    outputs = answers(load(revision).outputs, pictures)
    return baseline_of(contract, pictures, outputs, pixels=pixels)


def files_of(folder: Path) -> list[Path]:
    """The pictures in a folder, and in those below it."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


if __name__ == "__main__":
    sys.exit(main())
