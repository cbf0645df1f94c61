"""The step ``published``: the trained revision gets its number and goes into the registry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from artifact import CARD_FILE, ModelCard, Revision, open_revision, revisions_of
from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.step import Step


def publish(place: Place, run: Run) -> Found:
    """Put the revision into the registry, once; the reason is the evidence that speaks for it."""
    found = place.registry.state().published.items()
    others = {
        revision
        for (model, revision), entry in found
        if model == run.model and not entry.why.startswith(f"{_said(run)}:")
    }
    number = place.runs.number_for(run, next_number(place, run.model), others)
    revision = candidate(place, run, place.folder(run.id) / "published", number)
    evidence = run.evaluations[place.live(run.model)].why
    entry = place.registry.publish(revision, f"{_said(run)}: {evidence}")
    details = {"revision": number, "digest": entry.details["digest"]}
    return Found(f"{entry.identity}: {evidence}", details)


def candidate(place: Place, run: Run, root: Path, number: str = "") -> Revision:
    """What was trained, as ``root/<model>/<number>``: the same bytes every time.

    Args:
        number: in place of the one that it was trained with.
    """
    files = {
        name: place.runs.file(digest) for name, digest in run.details(Step.TRAINED)["files"].items()
    }
    card = ModelCard.from_json(files[CARD_FILE])
    card = replace(card, revision=number or card.revision)
    files[CARD_FILE] = card.to_json().encode()
    folder = root / card.name / card.revision
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return open_revision(root, card.name, card.revision)


def next_number(place: Place, model: str) -> int:
    """After the highest of the registry and of the folder of models."""
    numbers = [r for m, r in place.registry.state().published if m == model]
    numbers += revisions_of(place.models, model)
    return max((int(n) for n in numbers if n.isdecimal()), default=0) + 1


def _said(run: Run) -> str:
    """How the reasons of a run's entries begin."""
    return f"run {run.id}"
