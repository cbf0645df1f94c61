"""The step ``checked``: what arrived is read, looked at, and added to the model's data, or not."""

from __future__ import annotations

import contextlib
from pathlib import Path

from artifact import ModelCard
from lifecycle.data import PARTS, pinned_tests
from lifecycle.errors import StoppedError
from lifecycle.fitting import check_trainable
from lifecycle.found import Found
from lifecycle.machine import IS_WRITTEN
from lifecycle.place import Place
from lifecycle.run import Run
from predictor.loading import load
from registry.datasets import ALL
from registry.errors import NotFoundError
from training.arrival.answers import answers_of
from training.arrival.arrive import arrive
from training.arrival.check import Against
from training.arrival.part import UnreadablePartError
from training.arrival.reading import read_part

FEWEST, SHARE = 20, 0.01
"""Pictures of a class that a revision was trained with, below which it hardly knows it."""

LABELS = ("labels.csv", "labels.json")
"""Files in a part's folder that have its pictures' labels."""


def check(place: Place, run: Run) -> Found:
    """Add the part to the model's data, or stop the run; the report lies beside the data."""
    check_trainable(place.card(run.model))
    tests = pinned_tests(place, run.model)
    if not run.arrival.part:
        return Found(f"anew with all data: {run.arrival.why}", {"part": ""})
    path = place.inbox.fetch(run.arrival.part, place.folder(run.id))
    labels = _labels_of(path)
    live = place.pulled(run.model, place.live(run.model))
    classes = live.card.contract.labels
    against = Against(
        tests=place.datasets.open(tests, ALL),
        classes=classes,
        ask=answers_of(load(live)),
        name=live.card.identity,
        unseen=_unseen(place, live.card),
    )
    try:
        arrival = arrive(place.datasets, run.model, path, against, labels, why=f"run {run.id}")
        if arrival.version is None:
            assert arrival.report is not None
            raise StoppedError("; ".join(arrival.report.refusals), {IS_WRITTEN: True})
        arrived = read_part(path, labels, classes).samples().digest
    except UnreadablePartError as error:
        raise StoppedError(str(error)) from None
    (part,) = (p for p in arrival.version.parts if arrived in (p.arrived, p.digest))
    if not arrival.is_new and not _is_ours(place, run, part.digest):
        raise StoppedError(f"these pictures are in {run.model}'s data already")
    count = sum(part.train.values()) + sum(part.heldout.values())
    left_out = 0 if arrival.report is None else len(arrival.report.left_out)
    warnings = [] if arrival.report is None else arrival.report.warnings
    why = f"{count} pictures of {run.arrival.part}" + (f", {left_out} left out" * bool(left_out))
    details = {"part": part.digest, "version": arrival.version.digest, "warnings": warnings}
    return Found("; ".join([why, *warnings]), details)


def _unseen(place: Place, card: ModelCard) -> frozenset[str]:
    """Classes that a revision was hardly trained with, as far as the store knows its data."""
    version = place.datasets.newest(card.name)
    if version is None:
        return frozenset()
    taught = set(card.training.get(PARTS, ()))
    if not taught and card.data is not None:
        with contextlib.suppress(NotFoundError):
            known = place.datasets.version(card.name, card.data.digest)
            taught = {part.digest for part in known.parts}
    if not taught:
        return frozenset()
    counts = {
        name: sum(part.train.get(name, 0) for part in version.parts if part.digest in taught)
        for name in card.contract.labels
    }
    least = max(FEWEST, SHARE * sum(counts.values()))
    return frozenset(name for name, count in counts.items() if count < least)


def _labels_of(path: Path) -> Path | None:
    found = [path / name for name in LABELS if (path / name).is_file()]
    return found[0] if found else None


def _is_ours(place: Place, run: Run, part: str) -> bool:
    """Whether it was this run that added a part, in an earlier try."""
    entries = place.datasets.entries(run.model)
    return any(e.details.get("part") == part and e.why == f"run {run.id}" for e in entries)
