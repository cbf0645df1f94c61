"""What a part is compared with where nobody says: the live revision and the pinned test set."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from artifact import ModelCard, Revision, open_revision, revisions_of
from predictor.loading import load
from registry.datasets import ALL, HELD_OUT, Datasets
from registry.errors import NotFoundError
from registry.revisions import Registry
from registry.samples import Samples
from registry.state import STABLE
from rollout import errors
from rollout.labelled import load_labelled
from training.arrival.answers import answers_of
from training.arrival.check import Against
from training.arrival.part import UnreadablePartError
from training.data import data_folder
from training.versions import PREFIX, is_version

TESTS = "-test"
"""What follows a model's name in the name of its pinned test set."""
CLASSIFICATION = "classification"


def against_live(
    registry: Registry, name: str, model: str, models: Path, tests: str, split: str
) -> Against:
    """What a part of the data set ``name`` is compared with.

    Args:
        model: ``NAME`` or ``NAME/REVISION`` (or an alias); empty for that of the data set's name.
        models: folder of revisions, where the registry does not know what is live.
        tests: ``registry:NAME@DIGEST`` or a labelled ``.npz``; empty for the data set
            ``<model>-test``, else the official test set of the model's card, if it is there.
        split: what is held out for evaluation is not compared with the test set.

    Raises:
        RegistryError, ArtifactError: of a model that was named.
        UnreadablePartError: there are no such tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        revision = _revision(registry, name, model, models, Path(folder))
        if revision is None:
            card, ask = None, None
        else:
            card = revision.card
            ask = answers_of(load(revision)) if card.contract.task == CLASSIFICATION else None
    pinned = None if split == HELD_OUT else _tests(registry, name, card, tests)
    if card is None:
        return Against(tests=pinned)
    return Against(tests=pinned, classes=card.contract.labels, ask=ask, name=card.identity)


def _revision(
    registry: Registry, name: str, model: str, models: Path, folder: Path
) -> Revision | None:
    """Named, live, or the newest there is."""
    wanted, _, selector = (model or name.removesuffix(TESTS)).partition("/")
    try:
        registry.pull(wanted, selector or STABLE, folder)
        return open_revision(folder, wanted, *revisions_of(folder, wanted))
    except NotFoundError:
        there = revisions_of(models, wanted)
        if not model and not there:
            return None
        return open_revision(models, wanted, selector or there[-1] if there else selector)


def _tests(registry: Registry, name: str, card: ModelCard | None, tests: str) -> Samples | None:
    datasets = Datasets(registry)
    if is_version(tests):
        wanted, _, digest = tests.removeprefix(PREFIX).partition("@")
        return datasets.open(datasets.version(wanted, digest or None), ALL)
    own = datasets.newest(f"{card.name if card else name}{TESTS}")
    if own is not None and not tests:
        return datasets.open(own, ALL)
    if card is None or (card.data is None and not tests):
        if tests:
            raise UnreadablePartError(f"{tests}: its labels are numbers of a model: give --model")
        return None
    try:
        found = load_labelled(tests or str(data_folder()), card.data.name if card.data else "")
    except errors.NotFoundError as error:
        if tests:
            raise UnreadablePartError(str(error)) from None
        return None
    labels = card.contract.labels
    if found.labels.ndim != 1 or found.labels.max(initial=0) >= len(labels):
        return None
    return Samples.of(
        list(found.images), [labels[i] for i in found.labels.astype(np.int64)], labels
    )
