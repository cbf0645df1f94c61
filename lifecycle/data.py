"""The data of a run: what it trains with, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artifact import Contract
from lifecycle.errors import NeedError, StoppedError
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.step import Step
from registry.datasets import ALL, HELD_OUT, TRAIN, Version
from registry.samples import Samples
from rollout.labelled import LabelledSet
from training.data import LabelledImages

TESTS = "-test"
"""What follows a model's name in the name of its pinned test set."""

PARTS, WITHOUT = "data_parts", "data_without"
"""Of the training in a card: digests of the parts it had, and of those that were left out."""

KEEPS = "keeps_part"
"""In the details of a refusal after which later runs train with the part all the same."""


@dataclass(frozen=True)
class RunData:
    """Attributes:
    digest: of the version, or of its parts where some are left out.
    without: parts whose runs were refused after they had been added.
    old, new: to train with: what was there before, and what came with this run.
    held_out: of what came with this run; of everything, where nothing did.
    tests: the pinned test set.
    """

    digest: str
    parts: tuple[str, ...]
    without: tuple[str, ...]
    old: Samples
    new: Samples
    held_out: Samples
    tests: Samples


def pinned_tests(place: Place, model: str) -> Version:
    """Raises NeedError: there is none."""
    found = place.datasets.newest(f"{model}{TESTS}")
    if found is None:
        raise NeedError(
            f"{model} has no pinned test set: `vision data add {model}{TESTS} PATH --split heldout`"
        )
    return found


def data_of(place: Place, run: Run) -> RunData:
    """The data up to the run's part, without parts that made the model worse.

    Raises:
        NeedError: there are none at all.
    """
    name, own = run.model, str(run.details(Step.CHECKED)["part"])
    version = place.datasets.newest(name)
    if version is None:
        raise NeedError(f"{name} has no data: `vision data add {name} PATH`")
    bad = {str(r.details(Step.CHECKED)["part"]) for r in place.runs.all() if _made_worse(r)}
    parts: list[str] = []
    without: list[str] = []
    for part in version.parts:
        (without if part.digest in bad else parts).append(part.digest)
        if part.digest == own:
            break
    earlier = [digest for digest in parts if digest != own]
    opened = place.datasets.open
    return RunData(
        digest=_digest(version, parts),
        parts=tuple(parts),
        without=tuple(without),
        old=opened(version, TRAIN, earlier),
        new=opened(version, TRAIN, [own]),
        held_out=opened(version, HELD_OUT, [own] if own else parts),
        tests=place.datasets.open(pinned_tests(place, name), ALL),
    )


def _made_worse(run: Run) -> bool:
    """Whether what came with a run was taken, and the run was refused for it later."""
    checked = run.results.get(Step.CHECKED)
    refusal = run.refusal
    if refusal is None or checked is None or checked is refusal:
        return False
    return not refusal.details.get(KEEPS)


def _digest(version: Version, parts: list[str]) -> str:
    """Of the version that has these parts and no others, where there is one."""
    upto = Version(
        version.name, tuple(p for p in version.parts if p.digest in parts), version.classes
    )
    return upto.digest


def labelled(samples: Samples, contract: Contract) -> LabelledSet:
    """As the gate asks for it: labels as the contract numbers them."""
    return LabelledSet(_images(samples), _labels(samples, contract))


def to_train(samples: Samples, contract: Contract) -> LabelledImages:
    """As training takes it."""
    return LabelledImages(_images(samples), _labels(samples, contract))


def _images(samples: Samples) -> NDArray[np.uint8]:
    """Raises StoppedError: they are of several sizes."""
    if isinstance(samples.images, tuple):
        if samples.images:
            raise StoppedError("pictures of several sizes cannot be trained with together yet")
        return np.zeros((0, 1, 1), np.uint8)
    return samples.images


def _labels(samples: Samples, contract: Contract) -> NDArray[np.int64]:
    """Raises StoppedError: the contract has no such label."""
    place = {name: index for index, name in enumerate(contract.labels)}
    unknown = [name for name in samples.classes if name not in place]
    if unknown and any(samples.counts()[name] for name in unknown):
        raise StoppedError(f"the model has no class {', '.join(unknown)}: it needs another name")
    return np.array([place.get(n, -1) for n in samples.classes], np.int64)[samples.labels]
