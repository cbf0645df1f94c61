"""What held-out pictures and a revision's answers to them are like: a model card's baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artifact import Baseline, Contract, ImageInput
from artifact.statistics import BINS, STATISTICS
from artifact.trust import FAMILIAR_FROM
from transformer.classification.statistics import AnswerStatistics
from transformer.pictures.preprocess import Prepared, prepare
from transformer.pictures.statistics import Numbers, PictureStatistics

if TYPE_CHECKING:
    from training.data import LabelledImages

ENOUGH = 300
"""Pictures without which a baseline says little."""

BATCH = 250

Outputs = tuple[NDArray[Any], ...]


def baseline_of(
    contract: Contract,
    pictures: Sequence[Prepared],
    outputs: Outputs,
    truth: NDArray[np.int64] | None = None,
    every_label: NDArray[np.int64] | None = None,
    pixels: Sequence[int] = (),
) -> Baseline:
    """Count pictures and answers, in the bins in which a transformer counts what it serves.

    Args:
        pictures: as the network is shown them.
        outputs: the contract's, of these pictures.
        truth: the right label of each picture, where it is known.
        every_label: right labels of all pictures of the data set. Its shares of labels are known
            more exactly than those of the pictures held out, which are weighted by them.
        pixels: of each picture as people send it, where these are such.
    """
    planes = np.stack([item.planes for item in pictures])
    numbers: Numbers = PictureStatistics(contract.input_as(ImageInput)).of(planes)
    if pixels:
        numbers["size"] = np.array(pixels, np.float32)
    shown = [item.polarity.value for item in pictures if item.polarity is not None]
    found = Baseline(
        pictures=len(pictures),
        bins=BINS,
        histograms={},
        polarities={name: shown.count(name) for name in sorted(set(shown))},
    )
    judge = AnswerStatistics(contract)
    if contract.task != "classification" or not judge.takes(outputs):
        return replace(found, histograms=_counted(numbers))
    judged = judge.judged(outputs)
    labels: tuple[int, ...] = ()
    if judge.labels and judged.labels is not None:
        counts = np.bincount(judged.labels, minlength=len(judge.labels))
        if truth is not None and every_label is not None:
            right_ones = judge.places(truth), judge.places(every_label)
            counts = weighted(judged.labels, *right_ones, len(judge.labels))
        labels = tuple(counts.tolist())
    found = replace(found, histograms=_counted(numbers | judged.numbers), labels=labels)
    if truth is None:
        return found
    right = outputs[0].argmax(axis=1) == truth
    sure = outputs[1] >= FAMILIAR_FROM if len(outputs) > 1 else np.ones(len(right), bool)
    bounds = np.array(STATISTICS["confidence"].bounds, np.float32)
    places = bounds.searchsorted(outputs[0].max(axis=1))[right & sure]
    by_bin = np.bincount(places, minlength=len(bounds) + 1)
    return replace(
        found, right=tuple(by_bin.tolist()), unsure_right=int(np.count_nonzero(right & ~sure))
    )


def weighted(
    answered: NDArray[np.intp],
    truth: NDArray[np.int64],
    every_label: NDArray[np.int64],
    classes: int,
) -> NDArray[np.int64]:
    """How often each label is answered, where right labels have the shares of the whole data set.

    Post-stratification: what is answered for a class is counted on the pictures held out, and how
    many there are of the class on all. That is surer than counting answers, by as much as answers
    follow from classes; the counts are those of so many pictures that would make it as sure.
    """
    table = np.zeros((classes, classes))
    np.add.at(table, (truth, answered), 1)
    sizes = table.sum(axis=1, keepdims=True)
    shares = np.bincount(every_label, minlength=classes)[:, np.newaxis] / len(every_label)
    if (sizes[shares > 0] == 0).any():
        return np.bincount(answered, minlength=classes)
    found = (shares * table / np.maximum(sizes, 1)).sum(axis=0)
    # A count of none is no certainty.
    cautious = (table + 0.5) / (sizes + 1)
    spread = (shares**2 * cautious * (1 - cautious) / (sizes + 1)).sum(axis=0)
    worth = float(np.min(found * (1 - found) / spread, where=found > 0, initial=np.inf))
    worth = min(max(worth, len(answered)), len(every_label))
    counts: NDArray[np.int64] = np.round(found * worth).astype(np.int64)
    return counts


def _counted(numbers: Numbers) -> dict[str, tuple[int, ...]]:
    found = {}
    for name, values in numbers.items():
        bounds = np.array(STATISTICS[name].bounds, np.float32)
        counts = np.bincount(bounds.searchsorted(values), minlength=len(bounds) + 1)
        found[name] = tuple(counts.tolist())
    return found


def classifier_baseline(
    contract: Contract,
    run: Callable[[NDArray[Any]], Outputs],
    held_out: LabelledImages,
    every_label: NDArray[np.int64],
) -> Baseline:
    """Of a classifier's own held-out pictures.

    Args:
        run: what answers a batch with the contract's outputs.
        every_label: as for ``baseline_of``.
    """
    spec = contract.input_as(ImageInput)
    pictures = [prepare(Image.fromarray(image), spec) for image in held_out.images]
    return baseline_of(contract, pictures, answers(run, pictures), held_out.labels, every_label)


def answers(run: Callable[[NDArray[Any]], Outputs], pictures: Sequence[Prepared]) -> Outputs:
    """The contract's outputs for all of the pictures, some at a time."""
    parts = [
        run(np.stack([item.tensor for item in pictures[start : start + BATCH]]))
        for start in range(0, len(pictures), BATCH)
    ]
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
